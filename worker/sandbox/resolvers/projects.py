"""Projects: create, copy, change, delete, list, and who works in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from graphql import GraphQLResolveInfo

from worker.sandbox.errors import bad_input
from worker.sandbox.records import GEOSPATIAL_SETTINGS, PIXELS, Asset, Project, Role, Step, User
from worker.sandbox.resolvers.conditions import between
from worker.sandbox.resolvers.context import Context, context_of
from worker.sandbox.resolvers.fields import Resolver
from worker.sandbox.resolvers.filters import compact, counting, listing
from worker.sandbox.responses.reading import InterfaceError, read_interface
from worker.sandbox.store import Store

Where = Mapping[str, Any]

OWN_COLUMNS = {"title": "title", "description": "description", "jsonInterface": "json_interface"}


def select_projects(context: Context, where: Where) -> Iterable[Project]:
    """Return the projects that fulfil a ProjectWhere; an unknown id is no error here."""
    where = compact(where)
    ids = where.get("idIn", [where["id"]] if "id" in where else None)
    for project in context.tables.projects.values():
        if (ids is None or project.id in ids) and _fits(project, where):
            yield project


def _fits(project: Project, where: Where) -> bool:
    text = where.get("searchQuery", "").replace("%", "").lower()
    return (
        text in project.title.lower()
        and bool(project.settings.get("archived")) == where.get("archived", bool(project.settings.get("archived")))
        and between(project.created_at, where.get("createdAtGte"), where.get("createdAtLte"))
        and between(project.updated_at, where.get("updatedAtGte"), where.get("updatedAtLte"))
        and not where.get("starred")
        and not where.get("deleted")
    )


def _project_users(context: Context, where: Where) -> Iterable[Role]:
    where = compact(where)
    person = where.get("user", {})
    for role in context.project(where.get("project", {}).get("id")).roles:
        user = context.tables.users[role.user_id]
        if person.get("email", user.email) == user.email and where.get("id", role.id) == role.id:
            yield role


def create_project(store: Store, author: User, data: Mapping[str, Any], project_id: str | None = None) -> Project:
    """Create a project from a CreateProjectData, with an id of its own or a given one; raises KiliError."""
    interface = data.get("jsonInterface") or "{}"
    input_type = data.get("inputType") or "IMAGE"
    _check_interface(interface)
    if data.get("fromDemoProject"):
        raise bad_input(
            "fromDemoProject: the sandbox has no demo projects to copy;"
            " start it with --demo-project, or create a project with a jsonInterface of your own"
        )
    if data.get("pixelLabeling") and input_type != "GEOSPATIAL":
        raise bad_input("pixelLabeling: only projects of GEOSPATIAL can be labeled in pixels")
    now = store.now()
    project = Project(
        id=project_id or store.new_id(),
        title=data["title"],
        description=data.get("description") or "",
        input_type=input_type,
        json_interface=interface,
        author_id=author.id,
        created_at=now,
        updated_at=now,
        steps=(
            Step(id=store.new_id(), name="Labeling", type="DEFAULT", order=1),
            Step(id=store.new_id(), name="Review", type="REVIEW", order=2),
        ),
        roles=(Role(id=store.new_id(), user_id=author.id, role="ADMIN"),),
        settings={GEOSPATIAL_SETTINGS: {"labelingCRSCode": PIXELS}} if data.get("pixelLabeling") else {},
    )
    store.put(project)
    return project


def _create(_: None, info: GraphQLResolveInfo, data: Mapping[str, Any]) -> Project:
    context = context_of(info)
    return create_project(context.store, context.user, data)


def _check_interface(interface: str) -> None:
    try:
        read_interface(interface)
    except InterfaceError as error:
        raise bad_input(f"the jsonInterface cannot be read: {error}") from error


def _update(_: None, info: GraphQLResolveInfo, data: Mapping[str, Any], where: Where) -> Project:
    context = context_of(info)
    project = context.project(where.get("id"))
    given = {key: value for key, value in data.items() if value is not None}
    if "jsonInterface" in given:
        _check_interface(given["jsonInterface"])
    columns = {OWN_COLUMNS[key]: value for key, value in given.items() if key in OWN_COLUMNS}
    settings = {key: value for key, value in given.items() if key not in OWN_COLUMNS}
    now = context.store.now()
    project = replace(project, **columns, settings={**project.settings, **settings}, updated_at=now)
    context.store.put(project)
    return project


def _delete(_: None, info: GraphQLResolveInfo, where: Where) -> Project:
    context = context_of(info)
    project = context.project(where.get("id"))
    context.store.drop(project)
    return project


def _delete_asynchronously(_: None, info: GraphQLResolveInfo, where: Where) -> str:
    return _delete(_, info, where).id


def _append_role(_: None, info: GraphQLResolveInfo, data: Mapping[str, Any], where: Where) -> Project:
    context = context_of(info)
    project = context.project(where.get("id"))
    user = _user_with(context, data.get("userEmail") or "")
    role = Role(id=context.store.new_id(), user_id=user.id, role=data.get("role") or "LABELER")
    others = tuple(known for known in project.roles if known.user_id != user.id)
    project = replace(project, roles=(*others, role), updated_at=context.store.now())
    context.store.put(project)
    return project


def _user_with(context: Context, email: str) -> User:
    if "@" not in email:
        raise bad_input(f"userEmail: '{email}' is no e-mail address")
    for user in context.tables.users.values():
        if user.email == email:
            return user
    user = User(id=context.store.new_id(), email=email, firstname=email.split("@")[0], lastname="")
    context.store.put(user)
    return user


def _copy_project(_: None, info: GraphQLResolveInfo, data: Mapping[str, Any]) -> str:
    context = context_of(info)
    source = context.project(data["projectId"])
    now, new_id = context.store.now(), context.store.new_id
    roles = source.roles if data.get("shouldCopyUsers") else (Role(new_id(), context.user.id, "ADMIN"),)
    copy = replace(
        source,
        id=new_id(),
        author_id=context.user.id,
        created_at=now,
        updated_at=now,
        steps=tuple(replace(step, id=new_id()) for step in source.steps),
        roles=tuple(replace(role, id=new_id()) for role in roles),
    )
    context.store.put(copy)
    if data.get("shouldCopyAssets"):
        for asset in list(context.tables.assets_of(source.id).values()):
            _copy_asset(context, asset, copy)
    return copy.id


def _copy_asset(context: Context, asset: Asset, project: Project) -> None:
    """Copy an asset as if it had just been imported: nothing of its work comes along."""
    now = context.store.now()
    copy = Asset(
        id=context.store.new_id(),
        project_id=project.id,
        external_id=asset.external_id,
        content=asset.content,
        json_content=asset.json_content,
        json_metadata=asset.json_metadata,
        priority=asset.priority,
        is_honeypot=asset.is_honeypot,
        resolution=asset.resolution,
        created_at=now,
        updated_at=now,
        step_id=project.labeling_step.id,
        sequence=context.store.next_sequence(),
    )
    context.store.put(copy)


def _copy_labels(_: None, info: GraphQLResolveInfo, data: Mapping[str, Any]) -> bool:
    context = context_of(info)
    source = context.asset(data["srcAssetId"])
    target = context.asset(data["dstAssetId"], data["projectId"])
    steps = dict(
        zip(
            (step.id for step in context.project(source.project_id).steps),
            context.project(target.project_id).steps,
            strict=True,
        )
    )
    for label in list(context.tables.labels_on(source.id)):
        copy = replace(
            label,
            id=context.store.new_id(),
            asset_id=target.id,
            project_id=target.project_id,
            sequence=context.store.next_sequence(),
        )
        context.store.put(copy)
    context.store.put(
        replace(
            target,
            step_id=steps[source.step_id].id,
            step_status=source.step_status,
            skipped=source.skipped,
            updated_at=context.store.now(),
        )
    )
    return True


QUERIES: dict[str, Resolver] = {
    "projects": listing(select_projects),
    "countProjects": counting(select_projects),
    "projectUsers": listing(_project_users),
    "countProjectUsers": counting(_project_users),
}


MUTATIONS: dict[str, Resolver] = {
    "createProject": _create,
    "updatePropertiesInProject": _update,
    "deleteProject": _delete,
    "deleteProjectAsynchronously": _delete_asynchronously,
    "appendToRoles": _append_role,
    "copyProject": _copy_project,
    "copyLabels": _copy_labels,
}
