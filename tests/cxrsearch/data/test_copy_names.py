from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from cxrsearch.data.copy_names import copy_names, original, same_files, same_images, table_names
from cxrsearch.data.files import by_stem, fitting, stem


def test_copies_lie_where_their_images_do_and_no_two_share_a_name() -> None:
    files = ["images/a.png", "images/b.png", "images/b.dcm", "more/a.png"]
    found = copy_names(files, 2)
    assert found[0] == ["images/a_aug01.png", "images/a_aug02.png"]
    assert found[2] == ["images/b.dcm_aug01.png", "images/b.dcm_aug02.png"]
    every = [path for paths in found for path in paths]
    assert len(set(every)) == 8
    assert copy_names(["x.png"], 100)[0][-1] == "x_aug100.png"


def test_a_table_uses_base_names_where_they_tell_files_apart() -> None:
    assert table_names(["images/a_aug01.png", "images/b_aug01.png"]) == [
        "a_aug01.png",
        "b_aug01.png",
    ]
    both = ["p1/view_aug01.png", "p2/view_aug01.png"]
    assert table_names(both) == both


def test_a_copy_knows_its_original() -> None:
    assert original("images/a_b_aug01.png") == "images/a_b"
    assert original("a_aug7.png") is None
    assert original("a.png") is None


def test_an_image_is_recognised_by_its_copies_and_they_by_it() -> None:
    assert same_images(["a.png", "b.png"], ["a_aug03.png"]) == ["a.png"]
    assert same_images(["a_aug01.png", "b_aug01.png"], ["images/a.dcm"]) == ["a_aug01.png"]
    assert same_images(["a_aug01.png"], ["a_aug02.png"]) == ["a_aug01.png"]
    assert same_images(["p2/view.png"], ["p1/view_aug01.png"]) == []


def test_images_that_are_no_copies_are_told_by_their_whole_name() -> None:
    assert same_images(["1.jpg", "2.png"], ["1.png", "2.png"]) == ["2.png"]


def test_contents_tell_images_where_they_are_known() -> None:
    theirs, known = ["1.png", "2.png", "x_aug01.png"], ["aa", "bb", "cc"]
    own = {"1.png": "dd", "2.png": "bb", "renamed.png": "aa", "new.png": "ee"}
    assert same_images(own, theirs, own, known) == ["2.png", "renamed.png"]
    assert same_files(["1.png", "renamed.png"], ["more/1.png"], own, ["aa"]) == ["renamed.png"]
    assert same_images(["1.png"], theirs, own, ["", "bb"]) == ["1.png"], "unknown: by name"
    assert same_images(["1.png"], theirs, {}, known) == ["1.png"], "unknown: by name"


def test_a_copy_is_of_the_image_beside_it() -> None:
    own = {
        "1.png": "dd",
        "1_aug01.png": "d1",
        "2_aug01.png": "d2",
        "r.png": "aa",
        "r_aug01.png": "",
    }
    names = [name for name in own if "_aug" in name]
    found = same_images(names, ["1.png", "2.png"], own, ["aa", "bb"])
    assert found == ["2_aug01.png", "r_aug01.png"]
    copies, known = ["1.png", "1_aug01.png"], ["aa", "a1"]
    assert same_images(["1.png"], copies, {"1.png": "dd"}, known) == []
    assert same_images(["1.png"], copies[1:], {"1.png": "dd"}, known[1:]) == ["1.png"]
    assert same_images(["r.png"], copies, {"r.png": "aa"}, ["", "a1"]) == []
    assert same_images(["r_aug02.png"], copies, {"r.png": "aa", "r_aug02.png": "r2"}, known) == [
        "r_aug02.png"
    ]


def test_a_file_is_known_by_its_name_in_whatever_folder_it_was() -> None:
    paths = ["more/a.png", "more/deep/b.png", "more/c_aug01.png"]
    assert same_files(["a.png", "b.png", "c.png", "d.png"], paths) == ["a.png", "b.png", "c.png"]
    assert same_files(["a_aug02.png", "deep/b.png", "other/b.png"], paths) == [
        "a_aug02.png",
        "deep/b.png",
    ]
    assert same_files(["a.jpg", "a"], paths) == ["a"]
    assert same_files(["x/more/a.png"], paths) == ["x/more/a.png"]


def test_names_are_looked_up_quickly_where_all_images_have_one_base_name() -> None:
    seen = [f"train/patient{n:05d}/view1_frontal.jpg" for n in range(5000)]
    others = [f"valid/patient{n:05d}/view1_frontal.jpg" for n in range(4999)]
    begun = time.monotonic()
    assert same_files([*others, f"chexpert/{seen[7]}"], seen) == [f"chexpert/{seen[7]}"]
    assert time.monotonic() - begun < 5  # a look at each pair takes 15 seconds


PATHS = st.tuples(
    st.lists(st.sampled_from("ab"), min_size=1, max_size=4).map("/".join),
    st.sampled_from(["", ".png", ".PNG", ".jpg", ".tif"]),
).map("".join)


@given(PATHS, st.lists(PATHS, max_size=8, unique=True))
def test_a_name_fits_the_paths_of_which_one_is_the_end_of_the_other(
    name: str, files: list[str]
) -> None:
    def ends(one: str, other: str) -> bool:
        return f"/{one}".endswith(f"/{other}") or f"/{other}".endswith(f"/{one}")

    same = [file for file in files if ends(stem(file), stem(name))]
    wanted = [file for file in same if ends(file, name)] or same
    assert sorted(fitting(name, by_stem(files))) == sorted(wanted)
