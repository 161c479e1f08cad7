"""Models, their decomposed matrices, and the directions in them."""

from __future__ import annotations

from django.db import models

from labelapp.atlas.fields import Float32ArrayField, TokenIdsField, TokensField
from labelapp.atlas.keys import CIRCUITS, SIDES, DirectionKey, MatrixKey, Variant
from workers.weights.spectrum import BLOCK_THRESHOLD


def model_folder(weights_hash: str) -> str:
    """Where the storage keeps what belongs to a model as a whole."""
    return f"models/{weights_hash[:16]}"


class Model(models.Model):
    """One checkpoint of a transformer, or what is known of one whose readouts were imported without its weights.

    Without weights the hash is empty, and sizes that nobody stated are 0.
    """

    name = models.CharField(max_length=200)  # a slug, as it stands in keys
    revision = models.CharField(max_length=64)
    # Keys leave the revision out for the first one that was loaded under a name.
    is_default = models.BooleanField(default=True)
    source = models.CharField(max_length=500)
    architecture = models.CharField(max_length=50)
    n_layers = models.PositiveIntegerField()
    n_heads = models.PositiveIntegerField()
    n_kv_heads = models.PositiveIntegerField()
    d_model = models.PositiveIntegerField()
    d_head = models.PositiveIntegerField()
    d_mlp = models.PositiveIntegerField()
    vocab_size = models.PositiveIntegerField()
    tied = models.BooleanField()
    circuits = models.JSONField(default=list)  # those that this architecture has
    rotary = models.BooleanField(default=False)  # queries and keys are turned by their position
    # The relative gap up to which neighbouring singular values form a block, in all of the model's matrices.
    block_threshold = models.FloatField(default=BLOCK_THRESHOLD)
    weights_hash = models.CharField(max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["name", "revision"], name="one_model_for_a_revision"),
            models.UniqueConstraint(fields=["name"], condition=models.Q(is_default=True), name="one_default_revision"),
        ]

    def __str__(self) -> str:
        return self.slug

    @property
    def slug(self) -> str:
        """The model's part of a key."""
        return self.name if self.is_default else f"{self.name}@{self.revision}"

    @property
    def has_weights(self) -> bool:
        return bool(self.weights_hash)

    @property
    def folder(self) -> str:
        """Where the storage keeps the model's tokenizer, vocabulary, unembedding and vectors."""
        return model_folder(self.weights_hash)


class Matrix(models.Model):
    """One decomposed matrix. The row stands only with all its directions: they are written together."""

    model = models.ForeignKey(Model, models.CASCADE, related_name="matrices")
    # The key without the model, "ov.22.10;folded": made of the columns that follow, unique in a model.
    address = models.CharField(max_length=120)
    circuit = models.CharField(max_length=10, choices=[(name, name) for name in CIRCUITS])
    layer = models.PositiveIntegerField(null=True)
    head = models.PositiveIntegerField(null=True)
    preprocessing = models.CharField(max_length=10, default="raw")
    basis = models.CharField(max_length=10, default="svd")
    basis_seed = models.PositiveIntegerField(default=0)
    control = models.CharField(max_length=20, default="", blank=True)
    control_seed = models.PositiveIntegerField(default=0)

    # All of them, largest first. In another basis than the SVD's what it orders its vectors by, one for each.
    singular_values = Float32ArrayField()
    rank = models.PositiveIntegerField()
    n_vectors = models.PositiveIntegerField()  # how many of them have directions
    top = models.PositiveIntegerField()  # tokens in each readout
    neurons = models.JSONField(null=True)  # of each vector its hidden unit's number; NULL in other bases
    # side -> {"file": name in the storage, "row": this matrix's place among the stacked heads}
    vectors = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "matrices"
        constraints = [
            models.UniqueConstraint(fields=["model", "address"], name="one_matrix_for_an_address"),
        ]
        indexes = [
            # A model's overview: its circuits by layer and head.
            models.Index(fields=["model", "circuit", "layer", "head"], name="matrix_overview"),
        ]

    def __str__(self) -> str:
        return str(self.key)

    @property
    def key(self) -> MatrixKey:
        return MatrixKey(
            model=self.model.name,
            revision="" if self.model.is_default else self.model.revision,
            circuit=self.circuit,
            layer=self.layer,
            head=self.head,
            preprocessing=self.preprocessing,
            basis=self.basis,
            basis_seed=self.basis_seed,
            control=self.control,
            control_seed=self.control_seed,
        )

    @property
    def variant(self) -> Variant:
        return self.key.variant

    @property
    def sides(self) -> tuple[str, ...]:
        """The default side first."""
        return SIDES[self.circuit]


class Direction(models.Model):
    """One end: a vector of one side of a matrix, with a sign, and its readout."""

    matrix = models.ForeignKey(Matrix, models.CASCADE, related_name="directions")
    side = models.CharField(max_length=6)
    index = models.PositiveIntegerField()
    sign = models.CharField(max_length=1, choices=[("+", "+"), ("-", "-")])

    singular_value = models.FloatField(null=True)
    # (this - neighbour) / this, so 0 to 1; NULL where there is no such neighbour.
    gap_above = models.FloatField(null=True)
    gap_below = models.FloatField(null=True)
    # The number of the block of near-equal singular values that the vector belongs to, if any.
    block = models.PositiveIntegerField(null=True)

    token_ids = TokenIdsField(null=True)  # best first; NULL for readouts that were imported without a model
    tokens = TokensField()
    scores = Float32ArrayField(null=True)
    # Of the scores of all tokens; with them a score becomes comparable between directions.
    score_mean = models.FloatField(null=True)
    score_deviation = models.FloatField(null=True)

    class Meta:
        constraints = [
            # Serves the matrix table as well: one side's columns in order.
            models.UniqueConstraint(fields=["matrix", "side", "index", "sign"], name="one_direction_for_a_key"),
        ]

    def __str__(self) -> str:
        return str(self.key)

    @property
    def key(self) -> DirectionKey:
        return DirectionKey(self.matrix.key, self.side, self.index, self.sign)  # type: ignore[arg-type]

    @property
    def neuron(self) -> int | None:
        """The number of the hidden unit that the vector belongs to, in the basis of neurons."""
        neurons = self.matrix.neurons
        return neurons[self.index] if neurons else None
