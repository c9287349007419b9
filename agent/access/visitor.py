"""Who is there: the roles and scopes, and what each of them may do."""

from __future__ import annotations

from dataclasses import dataclass

from agent.errors import InvalidInput

# In this order: each may do all that those before it may.
ROLES = ("viewer", "reviewer", "admin")
NOBODY = "nobody"  # the role of who has not logged in
_RANKS = {role: rank for rank, role in enumerate((NOBODY, *ROLES))}
# What a key is for: teach (decide, activate, observe, outcomes), look, put right, administer.
SCOPES = ("decide", "read", "review", "admin")
_OF_ROLE = {
    NOBODY: frozenset[str](),
    "viewer": frozenset({"read"}),
    "reviewer": frozenset({"read", "review"}),
    "admin": frozenset(SCOPES),
}


@dataclass(frozen=True)
class Visitor:
    """Who a request comes from.

    `csrf` is what a form must send back, empty where no cookie speaks for the visitor. `open` says that nobody has to
    log in, since no user exists. `scopes` are what an API key is good for, None where there is none: then the role
    says it.
    """

    name: str
    role: str
    csrf: str = ""
    open: bool = False
    scopes: frozenset[str] | None = None

    def __bool__(self) -> bool:
        return self.known

    @property
    def known(self) -> bool:
        """Whether this is anybody at all."""
        return self.role != NOBODY or bool(self.scopes)

    def may(self, role: str) -> bool:
        """Whether the visitor may do what this role may."""
        return _RANKS[self.role] >= _RANKS[role]

    def allows(self, scope: str) -> bool:
        """Whether the visitor may do what this scope of the HTTP API is for."""
        return scope in (_OF_ROLE[self.role] if self.scopes is None else self.scopes)


STRANGER = Visitor("", NOBODY)
SOMEBODY = Visitor("somebody", "admin", open=True)


def checked_role(role: str) -> str:
    """The role.

    Raises:
        InvalidInput: there is no such role.
    """
    if role not in ROLES:
        raise InvalidInput(f"no role is called {role!r}; there are {', '.join(ROLES)}")
    return role


def spread(scopes: frozenset[str]) -> frozenset[str]:
    """All that scopes amount to: `admin` is every one, and who puts right looks as well."""
    if "admin" in scopes:
        return frozenset(SCOPES)
    return scopes | {"read"} if "review" in scopes else scopes


def role_of(scopes: frozenset[str]) -> str:
    """The role that comes nearest to scopes: what a key may do on pages."""
    known = spread(scopes)
    return next((role for role in reversed(ROLES) if _OF_ROLE[role] <= known), NOBODY)
