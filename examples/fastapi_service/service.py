"""A service that pseudonymizes rows and recovers them: uvicorn service:app."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from secureml import AsyncKeyManager, anonymize, reidentify
from secureml.errors import PseudonymizationError, SecretError
from secureml.key_management import get_default_key_manager


class Hidden(BaseModel):
    """Rows with pseudonyms, and what recovers them, beside the key."""

    rows: list[dict[str, Any]]
    manifest: dict[str, Any]


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """Read the key before the first request, and give the login up after the last."""
    manager = await asyncio.to_thread(get_default_key_manager)
    async with AsyncKeyManager(manager=manager) as keys:
        await keys.get_key()
        yield {"keys": keys}
    await asyncio.to_thread(manager.close)


app = FastAPI(lifespan=lifespan)


@app.exception_handler(SecretError)
def unavailable(_: Request, error: SecretError) -> JSONResponse:
    return JSONResponse({"detail": type(error).__name__}, 503)


# FastAPI runs what is no coroutine in a thread, as work on tables should be.
@app.post("/pseudonyms")
def hide(rows: list[dict[str, Any]]) -> Hidden:
    hidden, manifest = anonymize(rows, sensitive_columns=["ssn"], return_manifest=True)
    return Hidden(rows=hidden, manifest=manifest)


@app.post("/originals")
def recover(hidden: Hidden) -> list[dict[str, Any]]:
    try:
        return reidentify(hidden.rows, hidden.manifest)
    except PseudonymizationError as error:
        raise HTTPException(422, str(error)) from None


@app.get("/health")
async def health(request: Request) -> dict[str, Any]:
    info = await request.state.keys.key_info()
    return {"key": info.name, "version": info.version}
