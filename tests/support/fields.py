"""Looking into the fields of a message."""


class Fields:
    """Of whatever has `fields`, a list of pairs; names count without their case."""

    def all(self, name):
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def get(self, name, default=None):
        values = self.all(name)
        return values[0] if values else default
