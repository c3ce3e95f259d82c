#include "harness/tasks/preset.h"

#include <gmock/gmock.h>

#include "tests/harness/tasks/fixture.h"

namespace bitloop::tasks {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

json quick() { return load_preset(Share().path(), "quick").value(); }

TEST(Preset, AllOfThemLoad) {
  Share share;
  EXPECT_THAT(
      preset_names(share.path()).value(),
      ElementsAre("medium", "nativebit-2.2b", "nativebit-25m", "quick", "quick-qat", "small",
                  "smollm-135m", "tiny", "tiny-llama", "tiny-llama-nativebit", "tiny-llama-qat"));
  const std::vector<std::string> names = preset_names(share.path()).value();
  for (const std::string& name : names) {
    auto preset = load_preset(share.path(), name);
    EXPECT_TRUE(preset) << preset.error().message;
  }
}

TEST(Preset, HoldWhatTheDesignSays) {
  Share share;
  const json tiny = load_preset(share.path(), "tiny").value();
  EXPECT_EQ(tiny["train"]["steps"], 3000);
  EXPECT_EQ(tiny["train"]["batch"].get<int>() * tiny["model"]["context"].get<int>(), 16 * 128);
  EXPECT_EQ(tiny["train"]["learning_rate"], 2e-3);
  json same = quick();
  EXPECT_EQ(same["train"]["steps"], 400);
  EXPECT_EQ(same["model"], tiny["model"]);
  EXPECT_EQ(same["data"], tiny["data"]);
  EXPECT_EQ(same["data"]["validation"], json({{"first", 4}, {"every", 10}}));
  for (const char* name : {"small", "medium"}) {
    const json preset = load_preset(share.path(), name).value();
    EXPECT_EQ(preset["train"]["batch"].get<int>() * preset["model"]["context"].get<int>(), 524'288);
    EXPECT_EQ(preset["model"]["padded_vocab_size"], 50'304);
  }
  EXPECT_EQ(load_preset(share.path(), "medium").value()["train"]["steps"], 13'535);
  const json llama = load_preset(share.path(), "smollm-135m").value()["model"];
  EXPECT_EQ(llama["kv_heads"], 3);
  EXPECT_EQ(llama["layers"], 30);
  EXPECT_EQ(llama["width"], 576);
  EXPECT_EQ(llama["context"], 2048);
  const json recipe = load_preset(share.path(), "smollm-135m").value();
  EXPECT_EQ(recipe["train"]["batch"].get<int>() * recipe["train"]["sequence"].get<int>(), 4 * 256);
  EXPECT_EQ(recipe["train"]["schedule"], "constant");
  EXPECT_EQ(recipe["eval"]["window"], 128);
  const json largest = load_preset(share.path(), "nativebit-2.2b").value()["model"];
  EXPECT_EQ(largest["layers"], 26);
  EXPECT_EQ(largest["width"], 2560);
  EXPECT_EQ(largest["ffn_width"], 6912);
}

TEST(Preset, ReadmeDocumentsEveryKey) {
  const std::string readme = read_file(BITLOOP_SOURCE_DIR "/trainer/presets/README.md").value();
  std::string table = "| key | unit | meaning |\n|---|---|---|\n";
  for (const PresetKey& key : preset_keys())
    table += std::string("| `") + key.key + "` | " +
             (*key.unit ? key.unit + std::string(" ") : "") + "| " + key.doc + " |\n";
  EXPECT_THAT(readme, HasSubstr(table)) << "trainer/presets/README.md and preset_keys() differ";
}

TEST(Preset, SaysWhichThereAre) {
  Share share;
  for (const char* name : {"nope", "", "../presets/quick", "quick.json", "/etc/passwd", "a\nb"}) {
    auto preset = load_preset(share.path(), name);
    ASSERT_FALSE(preset);
    EXPECT_EQ(preset.error().code, "unknown_preset");
    EXPECT_THAT(preset.error().message,
                HasSubstr("medium, nativebit-2.2b, nativebit-25m, quick, quick-qat, small, "
                          "smollm-135m, tiny, tiny-llama, tiny-llama-nativebit, tiny-llama-qat"));
  }
  EXPECT_EQ(load_preset("/nowhere", "quick").error().code, "file_not_found");
}

TEST(Preset, NamesFileAndKeyOfAMistake) {
  Share share;
  const std::string good = share.read("presets/quick.json");
  auto error_with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    share.write("presets/quick.json", text.replace(at, from.size(), to));
    auto preset = load_preset(share.path(), "quick");
    EXPECT_FALSE(preset) << to;
    if (preset) return std::string();
    EXPECT_EQ(preset.error().code, "bad_preset");
    EXPECT_THAT(preset.error().message, HasSubstr("quick.json: "));
    return preset.error().message;
  };
  EXPECT_THAT(error_with("\"steps\": 400", "\"steps\": 400, \"stepz\": 1"),
              HasSubstr("unknown key train.stepz"));
  EXPECT_THAT(error_with("\"model\": {", "\"extra\": {}, \"model\": {"),
              HasSubstr("unknown key extra"));
  EXPECT_THAT(error_with("\"steps\": 400, ", ""), HasSubstr("train.steps is missing"));
  EXPECT_THAT(error_with("\"steps\": 400", "\"steps\": \"400\""),
              HasSubstr("train.steps must be a whole number, got \"400\""));
  EXPECT_THAT(error_with("\"steps\": 400", "\"steps\": 0"), HasSubstr("train.steps must be 1 … "));
  EXPECT_THAT(error_with("\"steps\": 400", "\"steps\": 4e2"), HasSubstr("train.steps"));
  EXPECT_THAT(error_with("\"steps\": 400", "\"steps\": 18446744073709551615"),
              HasSubstr("train.steps"));
  EXPECT_THAT(error_with("\"bias\": true", "\"bias\": 1"),
              HasSubstr("model.bias must be true or false"));
  EXPECT_THAT(error_with("\"gpt2\"", "\"gpt3\""),
              HasSubstr("model.architecture must be one of gpt2, llama"));
  EXPECT_THAT(error_with("\"model\": {", "\"model\": 3, \"x\": {"), HasSubstr("unknown key"));
  EXPECT_THAT(error_with("\"shakespeare\"", "\"\""), HasSubstr("data.path must be text"));
  EXPECT_THAT(error_with("\"shakespeare\"", "\"a\\u0000b\""), HasSubstr("data.path"));
  EXPECT_THAT(error_with("\"heads\": 4", "\"heads\": 3"),
              HasSubstr("model.heads must divide model.width"));
  EXPECT_THAT(error_with("\"micro_batch\": 16", "\"micro_batch\": 5"),
              HasSubstr("must divide train.batch"));
  EXPECT_THAT(error_with("\"min_lr\": 0.0002", "\"min_lr\": 0.02"),
              HasSubstr("min_lr must not exceed"));
  EXPECT_THAT(error_with("\"padded_vocab_size\": 256", "\"padded_vocab_size\": 255"),
              HasSubstr("padded_vocab_size"));
  EXPECT_THAT(error_with("\"vocab_size\": 256", "\"vocab_size\": 255"), HasSubstr("must be 256"));
  EXPECT_THAT(error_with("\"first\": 4, ", ""), HasSubstr("data.validation.first"));
  EXPECT_THAT(error_with("\"bytes\"", "\"tokens16\""), HasSubstr("data.val_path"));
  EXPECT_THAT(error_with("\"width\": 128", "\"width\": 128, \"kv_heads\": 2"), HasSubstr("llama"));
  EXPECT_THAT(error_with("\"name\": \"quick\"", "\"name\": \"tiny\""),
              HasSubstr("name must be 'quick'"));
  EXPECT_THAT(error_with("{", ""), HasSubstr("not valid JSON"));
  share.write("presets/quick.json", "[]");
  EXPECT_EQ(load_preset(share.path(), "quick").error().code, "bad_preset");
}

TEST(Preset, ALlamaNeedsItsFields) {
  Share share;
  json preset = load_preset(share.path(), "smollm-135m").value();
  preset["model"]["kv_heads"] = 2;
  EXPECT_THAT(check_preset(preset, "x").error().message, HasSubstr("kv_heads must divide"));
  preset["model"].erase("kv_heads");
  EXPECT_TRUE(check_preset(preset, "x"));
  preset["model"].erase("ffn_width");
  EXPECT_THAT(check_preset(preset, "x").error().message, HasSubstr("ffn_width is missing"));
  EXPECT_EQ(check_preset(json::array(), "x").error().code, "bad_preset");
}

TEST(Override, SetsValuesOfEveryType) {
  json preset = quick();
  for (const char* assignment : {"train.learning_rate=0.003", "train.steps=10", "train.seed=7",
                                 "model.bias=false", "data.path=a=b c", "train.precision=float32",
                                 "train.batch=1.6e1", "train.weight_decay=0", "model.kv_heads=2"}) {
    const Status set = apply_override(preset, assignment);
    EXPECT_TRUE(set) << set.error().message;
  }
  EXPECT_EQ(preset["train"]["learning_rate"], 0.003);
  EXPECT_EQ(preset["train"]["steps"], 10);
  EXPECT_EQ(preset["model"]["bias"], false);
  EXPECT_EQ(preset["data"]["path"], "a=b c");
  EXPECT_TRUE(preset["train"]["batch"].is_number_integer());
  EXPECT_EQ(preset["model"]["kv_heads"], 2) << "keys that may be absent can be set";
}

TEST(Override, ListsTheNearestKeys) {
  json preset = quick();
  auto error = [&](const char* assignment) { return apply_override(preset, assignment).error(); };
  EXPECT_EQ(error("train.learnin_rate=1").code, "unknown_key");
  EXPECT_THAT(error("train.learnin_rate=1").message,
              HasSubstr("did you mean train.learning_rate,"));
  EXPECT_THAT(error("learning_rate=1").message, HasSubstr("did you mean train.learning_rate,"));
  EXPECT_THAT(error("lerning_rate=1").message, HasSubstr("did you mean train.learning_rate,"));
  EXPECT_EQ(error("train=1").code, "unknown_key");
  EXPECT_EQ(error("name=x").code, "unknown_key");
  EXPECT_EQ(error("description=x").code, "unknown_key");
  EXPECT_EQ(error("train/steps=1").code, "unknown_key");
}

TEST(Override, RefusesWhatIsNoAssignmentOrNoValueAndChangesNothing) {
  json preset = quick();
  const json before = preset;
  for (const char* assignment : {"", "=", "=1", "train.steps", "\n"})
    EXPECT_EQ(apply_override(preset, assignment).error().code, "bad_override") << assignment;
  for (const char* assignment :
       {"train.steps=", "train.steps=ten", "train.steps=1.5", "train.steps=0", "train.steps=-1",
        "train.steps=1e300", "train.steps=null", "train.steps=[1]", "train.steps=true",
        "train.learning_rate=nan", "train.learning_rate=1e999", "train.learning_rate=-1",
        "train.learning_rate=\"1\"", "model.bias=yes", "data.path=", "data.path=a\nb",
        "train.precision=float64", "train.seed=18446744073709551615"})
    EXPECT_EQ(apply_override(preset, assignment).error().code, "bad_value") << assignment;
  EXPECT_EQ(preset, before);
}

}  // namespace
}  // namespace bitloop::tasks
