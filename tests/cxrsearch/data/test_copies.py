from __future__ import annotations

from cxrsearch.data.copies import copy_names, original, same_files, same_images, table_names


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


def test_a_file_is_known_by_its_name_in_whatever_folder_it_was() -> None:
    paths = ["more/a.png", "more/deep/b.png", "more/c_aug01.png"]
    assert same_files(["a.png", "b.png", "c.png", "d.png"], paths) == ["a.png", "b.png", "c.png"]
    assert same_files(["a_aug02.png", "deep/b.png", "other/b.png"], paths) == [
        "a_aug02.png",
        "deep/b.png",
    ]
    assert same_files(["a.jpg", "a"], paths) == ["a"]
    assert same_files(["x/more/a.png"], paths) == ["x/more/a.png"]
