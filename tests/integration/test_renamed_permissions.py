"""A renamed model keeps its default permissions, and who was granted them."""

from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType

from taskhub.accounts.models import User
from taskhub.db.permissions import DEFAULT_ACTIONS, rename_default_permissions
from tests.conftest import Person

pytestmark = pytest.mark.django_db


@pytest.fixture
def old_type() -> ContentType:
    return ContentType.objects.create(app_label="runs", model="letter")


@pytest.fixture
def old_permissions(old_type: ContentType) -> list[Permission]:
    return [
        Permission.objects.create(content_type=old_type, codename=f"{action}_letter", name=f"Can {action} letter")
        for action in DEFAULT_ACTIONS
    ]


@pytest.fixture
def group(old_permissions: list[Permission]) -> Group:
    group = Group.objects.create(name="writers")
    group.permissions.set(old_permissions)
    return group


@pytest.fixture
def grantee(owner: Person, old_permissions: list[Permission]) -> User:
    owner.user.user_permissions.add(old_permissions[3])
    return owner.user


def _codenames(permissions: Any) -> set[str]:
    return set(permissions.values_list("codename", flat=True))


def test_grants_survive_a_rename(old_type: ContentType, group: Group, grantee: User) -> None:
    old_type.model = "longletter"  # as RenameContentType does
    old_type.save()
    rename_default_permissions(apps, "runs", "Letter", "LongLetter")
    assert _codenames(group.permissions) == {f"{action}_longletter" for action in DEFAULT_ACTIONS}
    assert _codenames(grantee.user_permissions) == {"view_longletter"}
    assert Permission.objects.get(codename="view_longletter").name == "Can view long letter"
    assert not Permission.objects.filter(codename__endswith="_letter").exists()


def test_the_name_comes_from_the_model(old_type: ContentType, group: Group) -> None:
    ContentType.objects.filter(app_label="runs", model="worker").delete()
    old_type.model = "worker"
    old_type.save()
    rename_default_permissions(apps, "runs", "Letter", "Worker")
    verbose_name = apps.get_model("runs", "Worker")._meta.verbose_name
    assert Permission.objects.get(codename="add_worker").name == f"Can add {verbose_name}"


def test_it_works_before_the_content_type_is_renamed(group: Group) -> None:
    rename_default_permissions(apps, "runs", "Letter", "LongLetter")
    assert _codenames(group.permissions) == {f"{action}_longletter" for action in DEFAULT_ACTIONS}


def test_grants_move_to_permissions_that_exist_already(group: Group, grantee: User) -> None:
    new_type = ContentType.objects.create(app_label="runs", model="longletter")
    new = Permission.objects.create(content_type=new_type, codename="view_longletter", name="Can view long letter")
    rename_default_permissions(apps, "runs", "Letter", "LongLetter")
    assert new in group.permissions.all()
    assert list(grantee.user_permissions.all()) == [new]
    assert not Permission.objects.filter(codename="view_letter").exists()


def test_other_permissions_stay(old_type: ContentType, group: Group) -> None:
    other = ContentType.objects.create(app_label="crawlers", model="letter")
    Permission.objects.create(content_type=other, codename="view_letter", name="Can view letter")
    Permission.objects.create(content_type=old_type, codename="seal_letter", name="May seal letters")
    rename_default_permissions(apps, "runs", "Letter", "LongLetter")
    assert Permission.objects.filter(content_type=other, codename="view_letter").exists()
    assert Permission.objects.filter(codename="seal_letter").exists()


def test_nothing_happens_before_permissions_were_created() -> None:
    before = Permission.objects.count()
    rename_default_permissions(apps, "runs", "Letter", "LongLetter")
    assert Permission.objects.count() == before


def test_there_is_a_way_back(old_type: ContentType, group: Group) -> None:
    rename_default_permissions(apps, "runs", "Letter", "LongLetter")
    rename_default_permissions(apps, "runs", "LongLetter", "Letter")
    assert _codenames(group.permissions) == {f"{action}_letter" for action in DEFAULT_ACTIONS}
