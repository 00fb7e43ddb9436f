"""What an Open edX deployment can be asked: pages of records, courses, their structure, their export."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Generic, Self, TypeVar
from urllib.parse import quote

import httpx
from pydantic import AliasChoices, AliasPath, BaseModel, FailFast, Field, TypeAdapter, ValidationError

from ol_orchestrate.lib.errors import BadInputError
from ol_orchestrate.lib.openedx_api.session import ApiSession

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    from ol_orchestrate.lib.openedx_api.credentials import ApiCredentials
    from ol_orchestrate.lib.openedx_api.transport import Response

MAX_PAGES = 10_000
"""Pages after which a listing counts as endless."""

MAX_QUERY = 2048
"""Characters in the query of a page's address, which messages repeat."""

Record = TypeVar("Record", bound=BaseModel)
Parsed = TypeVar("Parsed")


class Page(BaseModel, Generic[Record]):
    """One page of a listing, as Django REST framework makes them.

    Attributes:
        count: Records in the whole listing, as the server counts them at this moment.
        next: Address of the next page; None or empty on the last one. Some APIs keep both in `pagination`.
        results: The records.
    """

    count: int = Field(validation_alias=AliasChoices("count", AliasPath("pagination", "count")), ge=0)
    next: str | None = Field(default=None, validation_alias=AliasChoices("next", AliasPath("pagination", "next")))
    results: Annotated[list[Record], FailFast()]  # one error is told, and a page of errors takes much memory


class CourseSummary(BaseModel):
    """What is read of a course in the list of courses."""

    id: str = Field(min_length=1)


class CourseExports(BaseModel):
    """What starting an export answers; each mapping is by course id.

    Attributes:
        upload_task_ids: What to ask `OpenEdxApi.export_status` about.
        upload_urls: Where the archive will be.
        failed_uploads: Why an export could not be started.
    """

    upload_task_ids: dict[str, str]
    upload_urls: dict[str, str] = {}
    failed_uploads: dict[str, str] = {}


class ExportStatus(BaseModel):
    """How far an export is; `state` is `Pending`, `In Progress`, `Succeeded`, `Failed`, `Canceled` or `Retrying`."""

    state: str


class OpenEdxApi:
    """One Open edX deployment's API, shared by any number of threads.

    Methods raise as `ApiSession.post` does, and `BadInputError` where an answer is not what it should be.
    """

    def __init__(self, session: ApiSession) -> None:
        """Speak through `session`, which `close` closes."""
        self._session = session

    @classmethod
    def connect(cls, credentials: Callable[[], ApiCredentials], *, requests_per_hour: int | None = None) -> Self:
        """An API whose credentials are read at the first request; makes no connection yet."""
        return cls(ApiSession(credentials, requests_per_hour=requests_per_hour))

    def __enter__(self) -> Self:
        """Nothing happens before the first request."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def pages(
        self, path: str, page_model: type[Page[Record]], params: dict[str, str | int] | None = None
    ) -> Iterator[Page[Record]]:
        """Walk through a listing, one page in memory at a time.

        Args:
            path: Below the API's address, such as `/api/v1/programs/`.
            page_model: `Page[…]` of the record's model.
            params: Query of the first page; the others have the query of the server's own `next`, and nothing else.

        Raises:
            BadInputError: A record does not fit its model, with the page, the record's number and the field; a `next`
                leads to another host or to a page already read.
        """
        url = self._session.credentials.url + path
        query = str(httpx.QueryParams(params))
        seen = set[str]()
        while query not in seen and len(seen) < MAX_PAGES:
            seen.add(query)
            answer = self._session.get(url, query)
            page = self._parse_page(answer, page_model, number=len(seen))
            yield page
            if not page.next:
                return
            query = self._query_of_next(answer, page.next)
        message = f"{answer.request}: the listing leads back to a page that was read, or never ends"
        raise BadInputError(message)

    def _parse_page(self, answer: Response, page_model: type[Page[Record]], *, number: int) -> Page[Record]:
        try:
            return page_model.model_validate_json(answer.body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            if not first["loc"]:  # no JSON object at all
                raise self._session.misfit(answer, "a page of a listing", error) from None
        place = _place(first["loc"], _names_of_fields(page_model))
        message = f"{answer.request}, page {number}: {place}: {first['msg']}"
        raise BadInputError(message) from None

    def _query_of_next(self, answer: Response, link: str) -> str:
        """The query part of `next`, which is asked of the configured address whatever scheme, port or path it has.

        A proxy that ends TLS makes the server write `http`, or a port of its own.
        """
        here = httpx.URL(self._session.credentials.url)
        try:
            there = here.join(link)
        except httpx.InvalidURL:
            there = httpx.URL()
        if there.scheme not in {"http", "https"} or there.host.rstrip(".") != here.host.rstrip("."):
            message = (
                f"{answer.request}: its `next` leads to {there.host[:253] or 'an unreadable address'}, away from"
                f" {here.host}; it is not followed"
            )
            raise BadInputError(message)
        if len(there.query) > MAX_QUERY:
            raise BadInputError(f"{answer.request}: its `next` has a query of over {MAX_QUERY} characters")
        return there.query.decode("ascii")

    def course_ids(self, page_size: int = 100) -> Iterator[str]:
        """The id (`course-v1:…`) of each course that the client may see."""
        for page in self.pages("/api/courses/v1/courses/", Page[CourseSummary], {"page_size": page_size}):
            for course in page.results:
                yield course.id

    def course_blocks(self, course_id: str) -> dict[str, Any]:
        """The course's blocks as the LMS shows them to staff: `root`, and `blocks` by usage key with `children`."""
        params = {"course_id": course_id, "depth": "all", "all_blocks": "true", "requested_fields": "children"}
        return self._document(self._session.get(f"{self._session.credentials.url}/api/courses/v1/blocks/", params))

    def course_structure(self, course_id: str) -> dict[str, Any]:
        """Each block's `category`, `children` and `metadata` by usage key, the form of the course structure export.

        Offered by deployments with the plugin `ol-openedx-course-structure-api`.
        """
        return self._lms_document(f"/api/course-structure/v0/{_in_path(course_id)}/")

    def course_outline(self, course_id: str) -> dict[str, Any]:
        """Sections and sequences of the course, with dates and visibility."""
        return self._lms_document(f"/api/learning_sequences/v1/course_outline/{_in_path(course_id)}")

    def export_courses(self, course_ids: Sequence[str]) -> CourseExports:
        """Have Studio export courses to its bucket; it answers at once.

        Offered by deployments with the plugin `ol-openedx-course-export`.
        """
        answer = self._session.post(f"{self._studio_url()}/api/courses/v0/export/", {"courses": list(course_ids)})
        return self._parse(answer, TypeAdapter(CourseExports), "the tasks of an export")

    def export_status(self, course_id: str, task_id: str) -> ExportStatus:
        """How far the export of a course is."""
        url = f"{self._studio_url()}/api/courses/v0/export/{_in_path(course_id)}/"
        return self._parse(self._session.get(url, {"task_id": task_id}), TypeAdapter(ExportStatus), "a task's state")

    def _studio_url(self) -> str:
        url = self._session.credentials.studio_url
        if not url:
            message = "The credentials name no Studio address (`studio_url`), which courses are exported through"
            raise BadInputError(message)
        return url

    def _lms_document(self, path: str) -> dict[str, Any]:
        return self._document(self._session.get(self._session.credentials.url + path))

    def _document(self, answer: Response) -> dict[str, Any]:
        return self._parse(answer, TypeAdapter(dict[str, Any]), "an object")

    def _parse(self, answer: Response, model: TypeAdapter[Parsed], expected: str) -> Parsed:
        try:
            return model.validate_json(answer.body)
        except ValidationError as error:
            raise self._session.misfit(answer, expected, error) from None


def _place(parts: tuple[int | str, ...], fields: set[str]) -> str:
    """Turn `("results", 3, "course_runs", 0, "key")` into `record no. 4, course_runs no. 1, key`.

    Names that are not those of a field come from the answer, and are not repeated.
    """
    where = ""
    match parts:
        case ("results", int(index), *inner):
            where = f"record no. {index + 1}"
        case _:
            inner = list(parts)
    for part in inner:
        where += f" no. {part + 1}" if isinstance(part, int) else f", {part if part in fields else 'a key'}"
    return where.removeprefix(", ")


def _names_of_fields(model: type[BaseModel]) -> set[str]:
    """The names of all fields of a model and of those within it."""
    schema = model.model_json_schema()
    objects = [schema, *schema.get("$defs", {}).values()]
    return {name for each in objects for name in each.get("properties", {})}


def _in_path(course_id: str) -> str:
    """The id as part of a path; old ids hold slashes, which Open edX expects as they are.

    Raises:
        BadInputError: It would lead to another path.
    """
    if {"", ".", ".."} & set(course_id.split("/")):
        message = f"{course_id!r} is no course id"
        raise BadInputError(message)
    return quote(course_id, safe="/:+@")
