"""As much of JSON Schema as docs/dump.schema.json uses. An unknown keyword is an error, so nothing goes unchecked."""

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int}
KNOWN = {"$schema", "title", "description", "type", "required", "properties", "additionalProperties", "items", "enum"}


def check(value, schema, place="$"):
    unknown = set(schema) - KNOWN
    assert not unknown, f"{place}: the schema uses {unknown}"
    if "enum" in schema:
        assert any(value == known and type(value) is type(known) for known in schema["enum"]), f"{place}: {value!r}"
    if "type" in schema:
        wanted = TYPES[schema["type"]]
        right = isinstance(value, wanted) and not (wanted is int and isinstance(value, bool))
        assert right, f"{place}: {value!r} is no {schema['type']}"
    if isinstance(value, dict):
        for name in schema.get("required", []):
            assert name in value, f"{place}: no {name}"
        for name, part in value.items():
            rule = schema.get("properties", {}).get(name, schema.get("additionalProperties", True))
            assert rule is not False, f"{place}: {name} is not in the schema"
            if isinstance(rule, dict):
                check(part, rule, f"{place}.{name}")
    if isinstance(value, list) and "items" in schema:
        for index, part in enumerate(value):
            check(part, schema["items"], f"{place}[{index}]")
