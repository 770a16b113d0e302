"""The page recognises files as the command line does, by the same table."""

import json

import pytest

from glioseg.data.cohort.file_names import PATTERNS, recognise, table
from glioseg.data.cohort.layouts import search_folder
from glioseg.serving.app import FOLDER

PAGE = FOLDER / "page"

FOLDERS = {
    "BraTS, names in two ways": [
        "a/x_t1.nii.gz",
        "a/x_t1ce.nii.gz",
        "b/y-t1n.nii",
        "b/y-t2f.nii",
        "a/x_seg.nii",
    ],
    "upper case, bare": ["P01/T1.NII.GZ", "P01/t1c.nii", "P01/seg.nii", "P02/P02_T1.nii", "P02/FLAIR.nii"],
    "UCSF-PDGM": [
        f"u/U_{name}.nii.gz" for name in ("T1", "T1c", "T1_bias", "tumor_segmentation", "brain_segmentation")
    ],
    "BIDS": ["anat/sub-01_T1w.nii", "anat/sub-01_ce-GD_T1w.nii", "anat/sub-01_ce-GD_FLAIR.nii"],
    "nnU-Net": [*(f"imagesTr/x_000{number}.nii.gz" for number in range(4)), "imagesTr/y_0000.nii.gz"],
    "a folder a modality": [
        "T1/P.nii",
        "t1ce/P.nii",
        "T1/P_mask.nii",
        "seg/P.nii",
        "T1/Q.nii",
        "other/Q.nii",
    ],
    "two visits": ["P_T1_t1.nii", "P_T2_t1.nii", "P_T2_flair.nii", "Q_T2_FLAIR.nii", "Q_T1.nii"],
    "no cases": ["x_t1.nii", "x_brain_mask_seg.nii", "y_segm.nii", "mask.nii"],
    "one file in each folder of a modality": [
        *(f"{patient}/{name}.nii" for patient in ("P01", "P02") for name in ("T1/003", "T1c/007", "seg/5_x")),
        "P03/T1/T1.nii",
        "P03/T2/P03_T2.nii",
        "P04/T1/1.nii",
        "P04/T1/2.nii",
        "P04/T2/3.nii",
    ],
    "brain": ["x_brain_t1.nii", "x_brain_seg.nii", "x_tumour_t1.nii", "x_tumour_seg.nii"],
}


@pytest.fixture
def page(visit):
    """The page's modules, as the service sends them; no model is needed."""

    def send(route):
        path = route.request.url.removeprefix("http://page/")
        if path == "file-names":
            route.fulfill(body=json.dumps(table()), content_type="application/json")
        elif path.endswith(".js"):
            route.fulfill(body=(PAGE / path).read_text(), content_type="text/javascript")
        else:
            route.fulfill(body="<html></html>", content_type="text/html")

    page = visit()
    page.route("**/*", send)
    page.goto("http://page/")
    return page


CASES = """async paths => {
  const {Files} = await import('/files.js');
  const files = new Files();
  await files.add(paths.map(path => Object.assign(new File([], path.split('/').pop()), {dropped: path})));
  const pathsOf = roles => Object.entries(roles).map(([role, all]) => [role, all.map(({path}) => path)]);
  const cases = [...files.cases].map(([name, {roles}]) => [name, Object.fromEntries(pathsOf(roles))]);
  return Object.fromEntries(cases);
}"""


@pytest.mark.parametrize("paths", FOLDERS.values(), ids=FOLDERS)
def test_the_page_finds_the_cases_of_the_command_line(page, tmp_path, paths):
    for path in paths:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"")
    expected = {
        case.case: {role: [str(file.relative_to(tmp_path))] for role, file in case.files.items()}
        for case in search_folder(tmp_path).cases
    }
    assert page.evaluate(CASES, paths) == expected


def test_each_pattern_means_the_same_in_both_languages(page):
    stems = [
        "t1",
        "x_T1GD",
        "x-t1n",
        "x_0003",
        "W39_1998.09.19_Segm",
        "sub-01_ses-2_acq-post_T1w",
        "x_prob_seg",
    ]
    stems += [
        "sub-1_desc-tumor_dseg",
        "x y_t2f",
        "_t1",
        "é_T2_FLAIR",
        "x_GlistrBoost_ManuallyCorrected",
        "x_mask",
        "x_T2",
    ]
    found = page.evaluate(
        "async names => { const {recognise} = await import('/files.js'); return names.map(recognise); }",
        [f"{stem}.nii.gz" for stem in stems],
    )
    known = [recognise(f"{stem}.nii.gz") for stem in stems]
    assert [one and (one["caseName"], one["role"], one["channel"]) for one in found] == [
        one and (one.case, one.role, one.channel) for one in known
    ]
    assert {one.role for one in known if one} == {role for _, role in PATTERNS if role}


def test_files_of_one_name_in_two_folders_are_two_cases(page):
    found = page.evaluate(CASES, ["a/x_t1.nii", "b/x_t1.nii", "b/x_flair.nii", "b/x_T2_flair.nii"])
    assert found == {
        "a/x": {"t1": ["a/x_t1.nii"]},
        "b/x": {"t1": ["b/x_t1.nii"], "flair": ["b/x_T2_flair.nii", "b/x_flair.nii"]},
    }


def test_cases_of_one_name_in_two_datasets_of_nnunet_keep_their_segmentations(page):
    images = [f"{name}/imagesTr/x_000{number}.nii" for name in "AB" for number in range(4)]
    found = page.evaluate(CASES, [*images, "B/labelsTr/x.nii"])
    assert [(name, list(roles)) for name, roles in found.items()] == [
        ("A/x", ["t1", "t1ce", "t2", "flair"]),
        ("B/x", ["t1", "t1ce", "t2", "flair", "seg"]),
    ]


SCHEME = """async ([paths, dataset]) => {
  const {Files} = await import('/files.js');
  const files = new Files();
  const given = paths.map(path => Object.assign(new File([], path.split('/').pop()), {dropped: path}));
  const json = Object.assign(new File([dataset], 'dataset.json'), {dropped: 'D/dataset.json'});
  await files.add([...given, json]);
  const cases = [...files.cases.values()];
  return [...cases.map(({roles, scheme, notes}) => [Object.keys(roles), scheme, notes]), files.problems];
}"""


@pytest.mark.parametrize("key", ["channel_names", "modality"])
def test_dataset_json_tells_the_channels_of_nnunet(page, key):
    paths = ["D/imagesTr/x_0000.nii.gz", "D/imagesTr/x_0001.nii.gz", "D/labelsTr/x.nii.gz"]
    dataset = {key: {"0": "FLAIR", "1": "t1gd"}}
    (roles, scheme, notes), problems = page.evaluate(SCHEME, [paths, json.dumps(dataset)])
    assert (roles, scheme, problems) == (["flair", "t1ce", "seg"], "msd", [])
    assert notes[0].startswith("dataset.json: 0000 FLAIR, 0001 T1ce. The Decathlon's label values are")
    for names, got in (("CT", "CT, T1n"), ("T1", "T1, T1n")):
        dataset = {key: {"0": names, "1": "T1n"}}
        case, (problem,) = page.evaluate(SCHEME, [paths, json.dumps(dataset)])
        assert case == [["seg"], "brats2021", []]
        assert problem.endswith(f"expected T1, T1ce, T2 and FLAIR, each at most once, got {got}.")


@pytest.mark.parametrize(
    ("stem", "scheme", "note"),
    [
        ("BraTS-PED-00030-000-t1c", "brats_ped", "BraTS-PED: gliomas of children"),
        ("BraTS-MEN-00004-000-t1c", "brats2023", "BraTS-MEN: meningiomas"),
        ("BraTS-GLI-00005-000-t1c", "brats2023", ""),
        ("BraTS2021_00005_t1ce", "brats2021", ""),
    ],
)
def test_the_name_of_a_challenge_tells_labels_and_population(page, stem, scheme, note):
    (_, found, notes), _ = page.evaluate(SCHEME, [[f"{stem}.nii.gz"], "{"])
    assert found == scheme
    assert [one[: len(note)] for one in notes] == [note] * bool(note)
