"""scripts/get-backbone refuses before anything is written: unknown names, files that are not there, files that are not what was published."""
import os
import subprocess
import tempfile
import unittest

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts", "get-backbone")


class Refusals(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def refusal(self, *arguments, **environment):
        """What it says when it fails, called in a folder of its own, where it must have left nothing."""
        before = sorted(os.listdir(self.folder.name))
        run = subprocess.run(["bash", SCRIPT, *arguments], cwd=self.folder.name, env={**os.environ, "OUTPUT": "out.onnx", **environment},
                             capture_output=True, text=True)
        self.assertNotEqual(run.returncode, 0)
        self.assertEqual(sorted(os.listdir(self.folder.name)), before)
        return run.stderr

    def test_unknown_name(self):
        self.assertIn("no such network: resnet; usage:", self.refusal("resnet"))

    def test_file_that_is_missing(self):
        path = os.path.join(os.path.realpath(self.folder.name), "missing.mat")
        self.assertIn(f"cannot read {path}", self.refusal("cnn-f", FROM="missing.mat"))

    def test_file_that_was_not_published(self):
        with open(os.path.join(self.folder.name, "near.tflite"), "w") as file:
            file.write("not that")
        for name, kind in (("cnn-f", "md5"), ("mobilenet-v2", "sha256"), ("open-images", "sha256")):
            self.assertRegex(self.refusal(name, FROM="near.tflite"), f"near.tflite has the {kind} checksum [0-9a-f]+, not .* nothing was imported")

    def test_no_network(self):
        said = self.refusal("mobilenet-v2", https_proxy="http://127.0.0.1:9", HTTPS_PROXY="http://127.0.0.1:9")
        self.assertRegex(said, "could not download mobilenet-v2 from https://.*; nothing was imported.*bring mobilenet_v2.*FROM")


if __name__ == "__main__":
    unittest.main()
