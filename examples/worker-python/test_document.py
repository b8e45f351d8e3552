"""python -m unittest"""

import unittest
from pathlib import Path

import document

SAMPLES = Path(__file__).parent / "samples"


def outlined(name):
    return document.outline(name, (SAMPLES / name).read_text("utf-8"))


class Documents(unittest.TestCase):
    def test_markdown(self):
        result = outlined("notes.md")
        self.assertEqual(result["title"], "Notes on the harbour")
        self.assertEqual(
            [heading["text"] for heading in result["headings"]], ["Notes on the harbour", "Ships", "The lighthouse"]
        )
        self.assertEqual(result["links"], ["https://archive.example/harbour", "https://ships.example/schooner"])
        self.assertEqual(result["frequent"][0], "harbour")
        self.assertEqual(result["words"], 28)

    def test_html(self):
        result = outlined("page.html")
        self.assertEqual(result["title"], "Tide tables")
        self.assertEqual([heading["text"] for heading in result["headings"]], ["Tides & times", "How to read this"])
        self.assertEqual(result["links"], ["/tomorrow"])

    def test_csv(self):
        result = outlined("ships.csv")
        self.assertEqual(result["rows"], 3)
        self.assertEqual([column["kind"] for column in result["columns"]], ["text", "number", "number"])
        self.assertEqual(result["columns"][1]["mean"], 109.25)

    def test_progress_ends_at_the_end(self):
        told = []
        document.outline("a.md", "\n".join(["word"] * 1200), told.append)
        self.assertEqual(told, [500 / 1200, 1000 / 1200, 1])

    def test_what_it_cannot_read(self):
        with self.assertRaises(document.UnknownFormat):
            document.outline("a.docx", "")
        with self.assertRaises(ValueError):
            document.outline("a.csv", "")

    def test_pages_that_are_begun_count(self):
        self.assertEqual([document.pages(text) for text in ("", "a" * 1800, "a" * 1801)], [1, 1, 2])


if __name__ == "__main__":
    unittest.main()
