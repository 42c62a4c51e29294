// What hinders somebody from reading the texts of the SVG that is open.
() => {
  const channels = (colour) => colour.match(/[\d.]+/g).slice(0, 3).map((text) => text / 255);
  const luminance = (colour) => {
    const linear = channels(colour).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const contrast = (one, other) => {
    const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  };
  const whole = document.documentElement.getBoundingClientRect();
  const texts = [...document.querySelectorAll("text")]
    .map((element) => ({ element, name: element.textContent.trim(), box: element.getBoundingClientRect() }))
    .filter((text) => text.name);
  const faults = [];
  texts.forEach(({ element, name, box }, index) => {
    if (box.left < whole.left || box.right > whole.right || box.top < whole.top || box.bottom > whole.bottom) {
      faults.push(`${name}: outside`);
    }
    for (const other of texts.slice(index + 1)) {
      const width = Math.min(box.right, other.box.right) - Math.max(box.left, other.box.left);
      const height = Math.min(box.bottom, other.box.bottom) - Math.max(box.top, other.box.top);
      if (width > 2 && height > box.height / 2) faults.push(`${name}: over ${other.name}`);
    }
    const middle = [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
    const fill = (shape) => getComputedStyle(shape).fill;
    const ground = document
      .elementsFromPoint(...middle)
      .find((shape) => shape.matches("rect, path, polygon, circle") && fill(shape) !== "none");
    if (!ground) faults.push(`${name}: no ground of the drawing's own`);
    else {
      const ratio = contrast(fill(element), fill(ground));
      if (ratio < 4.5) faults.push(`${name}: contrast ${ratio.toFixed(1)}`);
    }
  });
  return faults;
}
