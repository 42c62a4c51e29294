// The contrast of the first visible text of each kind: to look at every one takes minutes, and the
// colours of a text depend on its tag and classes, and on those of the two elements around it.
() => {
  const kinds = new Map();
  for (const element of document.querySelectorAll("body *")) {
    const texts = [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE);
    if (!texts.some((text) => text.data.trim()) || !element.checkVisibility()) continue;
    const around = [element, element.parentElement, element.parentElement.parentElement];
    const kind = around.map((each) => `${each?.tagName}.${each?.className}`).join();
    if (!kinds.has(kind)) kinds.set(kind, element);
  }
  return axe.run({ include: [...kinds.values()] }, { runOnly: ["color-contrast"], resultTypes: ["violations"] });
}
