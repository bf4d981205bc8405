"""A packaged template as the rules read it: conditions decided, references as text."""

import json
import re

# What `!If [..., !Ref AWS::NoValue]` takes away.
NO_VALUE = object()

# A reference within the text of an Fn::Sub.
TOKEN = re.compile(r"\$\{([^!}][^}]*)\}")


class Template:
    """A template under certain values of its parameters, the others having their defaults.

    `resources` are those whose condition holds, without any Fn::If.
    """

    def __init__(self, body, parameters=None, provider=None):
        declared = body.get("Parameters", {})
        self.parameters = {name: p.get("Default", "") for name, p in declared.items()} | (parameters or {})
        self.conditions = body.get("Conditions", {})
        self.body = body
        # What serverless.yml says of the provider: how images are built is not in the template.
        self.provider = provider or {}
        self.resources = {
            id: self._decided(resource)
            for id, resource in body["Resources"].items()
            if "Condition" not in resource or self.holds(resource["Condition"])
        }

    def holds(self, condition):
        """Whether a condition, by its name or spelt out, is true."""
        if isinstance(condition, str):
            if condition not in self.conditions:
                raise LookupError(f"the template has no condition {condition}")
            return self.holds(self.conditions[condition])
        ((function, operands),) = condition.items()
        match function:
            case "Fn::Equals":
                return self._value(operands[0]) == self._value(operands[1])
            case "Fn::Not":
                return not self.holds(operands[0])
            case "Fn::And":
                return all(self.holds(operand) for operand in operands)
            case "Fn::Or":
                return any(self.holds(operand) for operand in operands)
            case "Condition":
                return self.holds(operands)
        raise ValueError(f"a condition uses {function}, which local/check/template.py does not know")

    def _value(self, operand):
        return str(self.parameters[operand["Ref"]]) if isinstance(operand, dict) else str(operand)

    def _decided(self, value):
        if isinstance(value, list):
            return [item for item in map(self._decided, value) if item is not NO_VALUE]
        if not isinstance(value, dict):
            return value
        if value == {"Ref": "AWS::NoValue"}:
            return NO_VALUE
        if list(value) == ["Fn::If"]:
            condition, then, otherwise = value["Fn::If"]
            return self._decided(then if self.holds(condition) else otherwise)
        fields = {name: self._decided(inner) for name, inner in value.items()}
        return {name: inner for name, inner in fields.items() if inner is not NO_VALUE}

    def of_type(self, kind):
        """The resources of a type: their logical ids and properties."""
        return [(id, r.get("Properties", {})) for id, r in self.resources.items() if r["Type"] == kind]

    def properties(self, id):
        """A resource's properties; nothing where there is no such resource."""
        return self.resources.get(id, {}).get("Properties", {})

    def type_of(self, id):
        """A resource's type; nothing where there is no such resource."""
        return self.resources.get(id, {}).get("Type")


def text(value):
    """A value as the text of an Fn::Sub: a reference is `${Id}` or `${Id.Attribute}`, however it is spelt."""
    match value:
        case {"Ref": str(id)}:
            return f"${{{id}}}"
        case {"Fn::GetAtt": [id, attribute]}:
            return f"${{{id}.{attribute}}}"
        case {"Fn::GetAtt": str(path)}:
            return f"${{{path}}}"
        case {"Fn::Sub": str(written)}:
            return written
        case {"Fn::Join": [separator, [*parts]]}:
            return separator.join(text(part) for part in parts)
        case str():
            return value
    return json.dumps(value, sort_keys=True)


def texts(value):
    """The texts of a list, or of what could be one."""
    return [text(item) for item in (value if isinstance(value, list) else [] if value is None else [value])]


def tokens(written):
    """What a text refers to, without the pseudo parameters."""
    return [token for token in TOKEN.findall(written) if not token.startswith("AWS::")]


def strings(value, path=""):
    """Every string of a value, with where it stands."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from strings(item, f"{path}[{index}]")
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from strings(inner, f"{path}.{name}" if path else name)
