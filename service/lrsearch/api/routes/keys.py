"""API keys, for administrators."""

import json

from fastapi import APIRouter, status

from lrsearch.access import audit, keys
from lrsearch.api.routes.parameters import Cursor, Limit
from lrsearch.api.security import Admin
from lrsearch.api.service import Running
from lrsearch.contract.keys import Key, KeyChange, KeyRequest, NewKey
from lrsearch.contract.pages import Page

router = APIRouter(prefix="/v1/keys", tags=["keys"])


@router.post("", status_code=status.HTTP_201_CREATED)
def create_key(request: KeyRequest, service: Running, principal: Admin) -> NewKey:
    """Make a key; its secret is shown this once."""
    with service.database.write() as session:
        made = keys.create_key(session, request)
    audit.record(
        principal,
        "create_key",
        created=made.key.id,
        for_owner=made.key.owner,
        scopes=" ".join(made.key.scopes),
    )
    return made


@router.get("")
def list_keys(service: Running, _: Admin, cursor: Cursor = None, limit: Limit = 50) -> Page[Key]:
    """All keys, the newest first, without their secrets."""
    with service.database.read() as session:
        return keys.list_keys(session, cursor, limit)


@router.patch("/{key}")
def change_key(key: str, change: KeyChange, service: Running, principal: Admin) -> Key:
    """Give a key other limits, named by its id or the prefix of its secret.

    A limit that is left out stays; null is the service's default, and 0 is none.
    """
    with service.database.write() as session:
        changed = keys.change_key(session, key, change)
    given = change.limits.model_dump(mode="json", exclude_unset=True)
    audit.record(principal, "change_key", changed=changed.id, limits=json.dumps(given))
    return changed


@router.post("/{key}/revoke")
def revoke_key(key: str, service: Running, principal: Admin) -> Key:
    """End a key now, named by its id or the prefix of its secret."""
    with service.database.write() as session:
        revoked = keys.revoke_key(session, key)
    audit.record(principal, "revoke_key", revoked=revoked.id)
    return revoked
