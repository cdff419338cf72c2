"""The field for a code of a second factor."""

from django import forms


class CodeForm(forms.Form):
    otp = forms.CharField(
        label="Code",
        max_length=100,
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code", "inputmode": "numeric", "spellcheck": "false"}),
        help_text="Of your authenticator app; or one of your recovery codes.",
    )
