"""Bodies of the account calls, as they are read and as they are answered."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.http import QueryDict
from rest_framework import serializers

from taskhub.accounts.models import ApiKey, User
from taskhub.security.scopes import ALL_SCOPES

PASSWORD_MAX = 1000
FAULTS_MAX = 100  # what else is wrong with a body is not told
TEN_YEARS = 10 * 365 * 24 * 3600


class JSONBooleanField(serializers.BooleanField):
    """true or false, or these words in a form; the numbers 1 and 0 are none, although Python takes them for equal."""

    def to_internal_value(self, data: Any) -> bool:
        if isinstance(data, int | float) and not isinstance(data, bool):
            self.fail("invalid", input=data)
        return bool(super().to_internal_value(data))


class Strict(serializers.Serializer[Any]):
    """Refuses fields that it does not know, so that a misspelt one is not silently left out.

    `goes_with` names for a field the one that must come with it. The OpenAPI document shows both.
    """

    goes_with: ClassVar[Mapping[str, str]] = {}

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping) and (unknown := [key for key in data if key not in self.fields]):
            named = unknown[:FAULTS_MAX]
            raise serializers.ValidationError({key[:100]: ["There is no such field here."] for key in named})
        if isinstance(data, QueryDict):
            self._refuse_repeated(data)
        return super().to_internal_value(data)

    def _refuse_repeated(self, form: QueryDict) -> None:
        """A form that says two things of one field says nothing; a list is said so."""
        lists = {name for name, field in self.fields.items() if isinstance(field, serializers.ListField)}
        if repeated := [name for name, values in form.lists() if len(values) > 1 and name not in lists]:
            raise serializers.ValidationError({name: ["This is given twice."] for name in repeated})

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        for given, needed in self.goes_with.items():
            if given in attrs and needed not in attrs:
                raise serializers.ValidationError({needed: [f"Must come with {given}."]})
        return attrs


class Text(serializers.CharField):
    """Text, and not a number that happens to look like some; as long as it was sent, spaces around it included."""

    def get_value(self, dictionary: Mapping[str, Any]) -> Any:
        """What was sent: an empty text in a form is not the same as none."""
        return dictionary.get(str(self.field_name), serializers.empty)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        if self.max_length is not None and len(data) > self.max_length:
            raise serializers.ValidationError(f"At most {self.max_length} characters.", code="max_length")
        return super().to_internal_value(data)


class Email(Text, serializers.EmailField):
    pass


class Seconds(serializers.IntegerField):
    def run_validation(self, data: Any = serializers.empty) -> Any:
        return super().run_validation(None if data == "null" else data)  # a form has no other way to say it


def _password(**options: Any) -> Text:
    return Text(min_length=1, max_length=PASSWORD_MAX, trim_whitespace=False, write_only=True, **options)


class SignUpSerializer(Strict):
    email = Email(max_length=254, help_text="The case does not matter, and it must be free.")
    password = _password(help_text="At least 8 characters, not a common one, not all digits, not like the e-mail.")
    name = Text(max_length=200, required=False, allow_blank=True)


class SignInSerializer(Strict):
    # Text, not an e-mail: what cannot be an address is answered like one that nobody has.
    email = Text(min_length=1, max_length=254)
    password = _password()
    otp = Text(
        max_length=100,
        required=False,
        write_only=True,
        help_text="A code of the second factor, or a recovery code, where the account has a second factor.",
    )


class ChangeSerializer(Strict):
    name = Text(max_length=200, required=False, allow_blank=True)
    email = Email(max_length=254, required=False, help_text="`current_password` must come with it.")
    password = _password(required=False, help_text="The new one; `current_password` must come with it.")
    current_password = _password(required=False)

    goes_with: ClassVar[Mapping[str, str]] = {"password": "current_password", "email": "current_password"}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "current_password" in attrs and not attrs.keys() & self.goes_with:
            raise serializers.ValidationError({"current_password": ["Goes with a new password or e-mail address."]})
        return super().validate(attrs)


class NewKeySerializer(Strict):
    name = Text(max_length=100, required=False, allow_blank=True, help_text="What the key is for.")
    expires_in = Seconds(
        min_value=1, max_value=TEN_YEARS, required=False, allow_null=True, help_text="Seconds; absent or null: never."
    )

    scopes = serializers.ListField(
        child=serializers.ChoiceField(ALL_SCOPES),
        required=False,
        min_length=1,
        max_length=len(ALL_SCOPES),
        help_text="Which calls it may make; absent: all that the credential may make with which it is made.",
    )


class UserSerializer(serializers.ModelSerializer[User]):
    jid = serializers.CharField(read_only=True, help_text="The id as `urn:uuid:...`.")
    created_at = serializers.DateTimeField(source="date_joined", read_only=True)

    class Meta:
        model = User
        fields = ("id", "jid", "email", "name", "is_staff", "created_at")
        read_only_fields = fields


class TokenSerializer(serializers.Serializer[Any]):
    token = serializers.CharField(read_only=True)
    expiry = serializers.DateTimeField(read_only=True, allow_null=True)


class KeySerializer(serializers.ModelSerializer[ApiKey]):
    owner = serializers.EmailField(source="user.email", read_only=True)

    class Meta:
        model = ApiKey
        fields = ("prefix", "name", "owner", "scopes", "created_at", "expires_at", "last_used_at")
        read_only_fields = fields


class ShownKeySerializer(serializers.ModelSerializer[ApiKey]):
    key = serializers.SerializerMethodField(help_text="Shown this once; only a hash is kept.")

    class Meta:
        model = ApiKey
        fields = ("key", "prefix", "name", "scopes", "created_at", "expires_at")
        read_only_fields = fields

    def get_key(self, row: ApiKey) -> str:
        return str(self.context["key"])
