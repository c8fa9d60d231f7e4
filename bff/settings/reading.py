"""How the environment is read."""

from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import EnvSettingsSource


class Environment(EnvSettingsSource):
    """The environment. What should be JSON and is not stays text: then its own type refuses or takes it.

    pydantic-settings would give up at once, and name the group of the setting instead of the setting.
    """

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value
