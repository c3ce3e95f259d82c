#include "harness/tasks/initial_model.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include "harness/base/fd.h"
#include "harness/base/sha256.h"
#include "harness/base/temporary_folder.h"

namespace bitloop::tasks {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;

std::string sha256_of(std::string_view text) {
  Sha256 digest;
  digest.add(text);
  return digest.finish();
}

class InitialModel : public testing::Test {
 protected:
  InitialModel() : folder_(TemporaryFolder::make(testing::TempDir(), "models-").value()) {
    write("workspace/runs/local-3/job.json", json{{"preset", preset_}}.dump());
    write("workspace/runs/local-3/output/weights.safetensors", "of a run");
    write("hf/config.json", R"({"model_type": "gpt2"})");
    write("hf/model.safetensors", "of hugging face");
  }
  fs::path at(const std::string& name) const { return folder_.path() / name; }
  void write(const std::string& name, const std::string& text) const {
    fs::create_directories(at(name).parent_path());
    ASSERT_TRUE(write_file_atomic(at(name), text));
  }
  Result<json> find(const std::string& given) const {
    return find_initial_model(given, {{at("nothing"), folder_.path()}, at("workspace")}, preset_);
  }
  void refused(const std::string& given, const std::string& sentence) const {
    const auto found = find(given);
    ASSERT_FALSE(found) << given;
    EXPECT_EQ(found.error().code, "init_unavailable");
    EXPECT_THAT(found.error().message, HasSubstr(sentence));
    EXPECT_THAT(found.error().message, HasSubstr("The model to begin with, " + given));
  }

  json preset_ = {{"name", "quick"},
                  {"model",
                   {{"architecture", "gpt2"},
                    {"vocab_size", 256},
                    {"padded_vocab_size", 256},
                    {"context", 128},
                    {"layers", 4},
                    {"heads", 4},
                    {"width", 128},
                    {"bias", true}}}};
  TemporaryFolder folder_;
};

TEST_F(InitialModel, OfARunByAnyOfItsNames) {
  for (const std::string& given :
       {std::string("local/3"), std::string("workspace/runs/local-3"),
        at("workspace/runs/local-3").string(),
        at("workspace/runs/local-3/output/weights.safetensors").string()}) {
    const auto found = find(given);
    ASSERT_TRUE(found) << found.error().message;
    const json& model = *found;
    EXPECT_EQ(model["path"], given);
    EXPECT_EQ(model["kind"], "run");
    ASSERT_EQ(model["files"].size(), 1u);
    EXPECT_EQ(model["files"][0]["file"],
              at("workspace/runs/local-3/output/weights.safetensors").string());
    EXPECT_EQ(model["files"][0]["sha256"], sha256_of("of a run"));
    EXPECT_EQ(model["sha256"], sha256_of("of a run"));
    EXPECT_EQ(job_of_model(given, {{folder_.path()}, at("workspace")})["preset"], preset_);
  }
}

TEST_F(InitialModel, OfHuggingFaceInOneFileOrParts) {
  const auto whole = find("hf");
  ASSERT_TRUE(whole) << whole.error().message;
  EXPECT_EQ((*whole)["kind"], "huggingface");
  EXPECT_EQ((*whole)["config"]["model_type"], "gpt2");
  EXPECT_TRUE(job_of_model("hf", {{folder_.path()}, at("workspace")}).is_null());

  fs::remove(at("hf/model.safetensors"));
  refused("hf", "model.safetensors");
  write("hf/a.safetensors", "a");
  write("hf/b.safetensors", "b");
  write("hf/model.safetensors.index.json",
        R"({"weight_map": {"x": "a.safetensors", "y": "b.safetensors", "z": "a.safetensors"}})");
  const auto parts = find("hf");
  ASSERT_TRUE(parts) << parts.error().message;
  ASSERT_EQ((*parts)["files"].size(), 2u);
  EXPECT_EQ((*parts)["sha256"], sha256_of(sha256_of("a") + sha256_of("b")));
  fs::remove(at("hf/b.safetensors"));
  refused("hf", "b.safetensors");
  for (const char* wrong :
       {"{}", "3", R"({"weight_map": {"x": "../a"}})", R"({"weight_map": {"x": 1}})"}) {
    write("hf/model.safetensors.index.json", wrong);
    refused("hf", "whose weight_map does not name");
  }
}

TEST_F(InitialModel, AChangedFileHasAnotherHash) {
  ASSERT_TRUE(find("local/3"));
  write("workspace/runs/local-3/output/weights.safetensors", "of a RUN");
  EXPECT_EQ(find("local/3").value()["sha256"], sha256_of("of a RUN"));
}

TEST_F(InitialModel, WhatIsNotThere) {
  for (const char* given : {"local/4", "nowhere", "/nowhere/at/all", "a/b/c"})
    refused(given, "is not there: name the folder of a run");
  write("empty/readme", "");
  refused("empty", "has neither job.json of a run nor config.json of Hugging Face");
  fs::remove(at("workspace/runs/local-3/output/weights.safetensors"));
  refused("local/3", "is a run without trained weights");
}

TEST_F(InitialModel, AnotherModelIsNamedByItsFirstDifference) {
  const json original = preset_;
  for (const auto& [name, value] : std::initializer_list<std::pair<const char*, json>>{
           {"layers", 5}, {"heads", 2}, {"context", 64}, {"bias", false}}) {
    preset_["model"] = original["model"];
    preset_["model"][name] = value;
    refused("local/3", std::string("its ") + name + " is " + original["model"][name].dump() +
                           ", not " + value.dump());
  }
  preset_["model"] = original["model"];
  preset_["model"]["kv_heads"] = 4;  // the default, written out
  EXPECT_TRUE(find("local/3"));
  write("workspace/runs/local-3/job.json", "{}");
  refused("local/3", "has a job.json that is not a run's");
}

}  // namespace
}  // namespace bitloop::tasks
