"""Who asks in a benchmark: one viewer per client, so that no request can be answered by another's call.

What one viewer asks while the same is under way is asked once; 64 clients of one viewer would measure that.
"""

from datetime import UTC, datetime

from pydantic import SecretStr

from benchmarks.names import JWT_SECRET
from bff.auth import SCOPES
from bff.dev_issuer import DevIssuer
from bff.sandbox.seed import SELLERS
from bff.sandbox.world import Seller
from clients.caller import Viewer

CLIENTS_AT_MOST = 64
CLAIMS = 100  # of the first seller: all of RecoveriesList
MANY_CLAIMS = 1000  # of the second: the long list
_BLOCKS = ("5e11e200-0c00-4000-8000-", "5e11e200-0d00-4000-8000-")  # of viewer ids, by seller


def user_id(seller: int, client: int) -> str:
    """The id of the viewer that a client asks as; the services show it that seller's rows as its own."""
    return f"{_BLOCKS[seller]}{client:012d}"


def seller_of(viewer_id: str) -> Seller:
    """Whose rows a viewer is shown; stripe knows a viewer by the seller's own integer."""
    for seller, block in zip(SELLERS, _BLOCKS, strict=True):
        if viewer_id.startswith(block) or viewer_id == str(seller.stripe_user_id):
            return seller
    raise LookupError(viewer_id)


def token(seller: int, client: int) -> str:
    """A real JWT with every scope, verified by each server at each request."""
    return DevIssuer(SecretStr(JWT_SECRET)).token(
        user_id=user_id(seller, client),
        email=SELLERS[seller].email,
        name=SELLERS[seller].name,
        stripe_user_id=SELLERS[seller].stripe_user_id,
    )


def as_viewer(seller: Seller) -> Viewer:
    """A seller as the services' tokens name it."""
    return Viewer(
        user_id=seller.user_id,
        email=seller.email,
        name=seller.name,
        stripe_user_id=seller.stripe_user_id,
        scopes=frozenset(SCOPES),
        expires_at=datetime.max.replace(tzinfo=UTC),
    )
