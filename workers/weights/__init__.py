"""The decomposition engine: from a checkpoint's weights to singular directions, readouts and a first judge.

Nothing here imports Django, and importing this package alone imports neither torch nor transformers::

    from workers.weights.checkpoint import open_checkpoint
    from workers.weights.engine import decompose_layer

    checkpoint = open_checkpoint("fixtures/demo_model")
    words = checkpoint.vocabulary()
    for matrix in decompose_layer(checkpoint, 5, circuits=["ov"], top=10):
        write = matrix.sides[-1]
        print(matrix.head, [[words[token] for token in end] for end in write.token_ids[1]])
"""
