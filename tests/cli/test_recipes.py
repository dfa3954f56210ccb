import json
import os
import subprocess
import sys

import pytest

from conftest import Lesionwise
from lesionwise.models.registry import MODELS, PRETRAINED
from lesionwise.recipe import MODELS as NAMES
from lesionwise.recipe import Recipe, recipe_names


def test_every_recipe_is_listed_with_what_its_file_says(lesionwise: Lesionwise) -> None:
    listed = json.loads(lesionwise("recipes", "--json").out)
    assert list(listed) == recipe_names()
    assert all(
        recipe["description"].endswith(".") and recipe["notes"]["command"] for recipe in listed.values()
    )
    assert "balanced accuracy 0.61 on val" in listed["small"]["notes"]["measured"]
    assert listed["small"]["notes"]["cost"].startswith("two cores")
    assert "half an hour; 1.7 GB" in lesionwise("recipes").out


def test_a_recipe_is_shown_with_every_key_its_default_and_its_sentence(lesionwise: Lesionwise) -> None:
    shown = json.loads(lesionwise("recipes", "small", "--json").out)
    keys = {key["key"]: key for key in shown["keys"]}
    assert list(keys) == list(Recipe.model_fields)
    assert all(key["sentence"].endswith(".") and key["type"] for key in keys.values())
    assert (keys["epochs"]["value"], keys["epochs"]["required"]) == (120, True)
    assert (keys["lr"]["value"], keys["lr"]["default"], keys["lr"]["type"]) == (2e-3, 1e-3, "number above 0")
    assert keys["optimizer"]["type"] == "adam, adamw, sgd"
    assert keys["image_size"]["type"] == "2 x whole number from 16"
    assert "epochs" in lesionwise("recipes", "small").out


def test_the_names_of_models_that_a_recipe_may_have_are_those_of_the_registry() -> None:
    assert sorted(NAMES) == sorted([*MODELS, *PRETRAINED])


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("lesionwise train seed-c", ["seed-cnn", "seed-cnn-256"]),
        ("lesionwise recipes mob", ["mobilenetv2"]),
        ("lesionwise serve --model b", ["best"]),
        ("lesionwise train small --set epo", ["epochs="]),
        ("lesionwise bundle ex", ["export"]),
    ],
)
def test_the_shell_completes_commands_recipes_keys_and_models(typed: str, offered: list[str]) -> None:
    words = typed.split()
    asked = {
        "_LESIONWISE_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(words) - 1)
    }  # fmt: skip
    program = "from lesionwise.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | asked, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == offered, done.stderr
