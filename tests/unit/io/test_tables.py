"""CSV tables: text stays text, shifted rows are refused."""

import pytest

from tsp.errors import TspError
from tsp.io.tables import manifest_rows, read_table, write_manifest


def test_labels_and_ids_keep_their_characters(tmp_path):
    rows = ["1.10,01,1e3,NA", "1.1,1,1000,None", "true,0x1, 2 ,nan"]
    (tmp_path / "t.csv").write_text("video,label,action-label,subset\n" + "\n".join(rows) + "\n")
    found = read_table(tmp_path / "t.csv", [])
    assert [",".join(row) for row in found.itertuples(index=False)] == rows


@pytest.mark.parametrize("row", ["a,1.0,2.0,", "a,1.0", "a,1.0,2.0,3,4"])
def test_shifted_columns_are_refused(tmp_path, row):
    (tmp_path / "t.csv").write_text(f"video,t-start,t-end\nb,1,2\n\n{row}\n")
    with pytest.raises(TspError, match=r"t\.csv: line 4: \d fields, but the header has 3 \(video, t-start, t-end\)"):
        read_table(tmp_path / "t.csv", [])


@pytest.mark.parametrize("content", [b"\xef\xbb\xbfvideo,t-start\r\na,1.5\r\n", b'video,t-start\n"a",1.5\n'])
def test_byte_order_marks_and_line_ends(tmp_path, content):
    (tmp_path / "t.csv").write_bytes(content)
    found = read_table(tmp_path / "t.csv", ["video"])
    assert found.to_dict("records") == [{"video": "a", "t-start": 1.5}]


@pytest.mark.parametrize("name", ["a\rb", "a\nb", "a\r\nb", '"a\r', "\r"])
def test_line_ends_in_names_survive(tmp_path, name):
    rows = [{"video": name, "filename": "x.mp4", "status": "ok", "reason": "", "bytes": 1, "sha256": ""}]
    write_manifest(rows, tmp_path / "m.csv")
    found = manifest_rows(tmp_path / "m.csv")
    assert [(row["video"], row["bytes"], row["reason"]) for row in found] == [(name, 1, "")]
