"""Viewer: who is asking, from the verified token. Asks no service."""

from __future__ import annotations

import strawberry

from resolvers.context import Info


@strawberry.type(
    description="The person the token was issued to. Read from the verified token, never from a service."
)
class Viewer:
    user_id: str = strawberry.field(
        description="The user's identifier, the same in every service except stripe."
    )
    email: str | None = strawberry.field(description="E-mail address; null when the token carries none.")
    name: str | None = strawberry.field(description="Name; null when the token carries none.")
    scopes: list[str] = strawberry.field(
        description="What the viewer may do, such as `claims:read`; alphabetical."
    )


@strawberry.type
class ViewerQueries:
    @strawberry.field(description="Who is asking.")
    def viewer(self, info: Info) -> Viewer:
        viewer = info.context.viewer
        return Viewer(
            user_id=viewer.user_id,
            email=viewer.email,
            name=viewer.name,
            scopes=sorted(viewer.scopes),
        )
