"""Training: Keras models learned from a dataset's rows, repeatable bit for bit.

The way through the folder:

- `configuration`: everything that decides a model apart from its data.
- `backend`: the one place that imports keras and tensorflow, set up to repeat.
- `network`: the paper's two networks.
- `fit`: training, saving, loading, predicting.
- `environment`: what a retraining has to be compared against.
- `validity`, `traceability`: the paper's experiments (2.1 and 2.2).

This file imports nothing, so that `import sensetrail.training` costs nothing: TensorFlow takes five seconds.
"""
