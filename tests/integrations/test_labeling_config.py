"""What a labeling configuration of Label Studio asks for."""

import pytest

from integrations.label_studio.labeling_config import SpanTag, read_labeling_config

CONFIG = """
<View>
  <!-- <Labels name="old" toName="text"/> -->
  <Header value="Mark!"/>
  <Labels name="label" toName="text">
    <View style="x"><Label value="PERSON" hint="somebody's name" background="red"/></View>
    <Label value="Town" alias="PLACE" hotkey="p"/>
  </Labels>
  <Text name="text" value="$article" granularity="word"/>
  <Choices name="tone" toName="text"><Choice value="PERSON"/></Choices>
  <Labels name="both" toName="text,title"><Label value="ORG"/></Labels>
  <Text name="title" value="$meta.title"/>
</View>
"""
WORDS = {"name": "", "definition": ""}


def test_tags_with_their_texts_labels_and_meanings() -> None:
    labels = {
        "PERSON": {"name": "", "definition": "somebody's name"},
        # An alias is what results have; its value says in words what it is.
        "PLACE": {"name": "Town", "definition": ""},
    }
    assert read_labeling_config(CONFIG) == [
        SpanTag("label", "text", "article", labels),
        SpanTag("both", "text", "article", {"ORG": WORDS}),
        SpanTag("both", "title", "meta.title", {"ORG": WORDS}),
    ]
    (tag, *_) = read_labeling_config(CONFIG)
    assert list(tag.labels) == ["PERSON", "PLACE"]


@pytest.mark.parametrize(
    "inside",
    [
        '<Choices name="c" toName="t"><Choice value="A"/></Choices>',
        '<Labels name="l" toName="t"></Labels>',
        '<Labels name="l" toName="other"><Label value="A"/></Labels>',
        '<Labels name="l" toName="page"><Label value="A"/></Labels>',
        '<Labels name="l" toName="far"><Label value="A"/></Labels>',
        '<Labels name="l" toName="fixed"><Label value="A"/></Labels>',
        '<RectangleLabels name="l" toName="t"><Label value="A"/></RectangleLabels>',
    ],
)
def test_where_there_is_nothing_to_look_for(inside: str) -> None:
    texts = (
        '<Text name="t" value="$t"/><HyperText name="page" value="$page"/>'
        '<Text name="far" value="$url" valueType="url"/>'
        '<Text name="fixed" value="always the same"/>'
    )
    with pytest.raises(ValueError, match="has no Labels tag"):
        read_labeling_config(f"<View>{texts}{inside}</View>")


@pytest.mark.parametrize("config", ["", "<View>", "Labels", "<View>&nbsp;</View>"])
def test_what_is_not_xml(config: str) -> None:
    with pytest.raises(ValueError, match="is not XML"):
        read_labeling_config(config)


def test_entities_are_not_expanded() -> None:
    bomb = '<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;&b;">]><View>&c;</View>'
    with pytest.raises(ValueError, match="document type"):
        read_labeling_config(bomb)
