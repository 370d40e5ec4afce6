"""TensorFlow Lite models in LiteRT, without TensorFlow."""
