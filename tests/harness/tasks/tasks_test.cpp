#include "harness/tasks/tasks.h"

#include <gmock/gmock.h>

#include "harness/tasks/preset.h"
#include "tests/harness/tasks/fixture.h"

namespace bitloop::tasks {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> names(const std::vector<Task>& tasks) {
  std::vector<std::string> list;
  for (const Task& task : tasks) list.push_back(task.name);
  return list;
}

Task find(const std::vector<Task>& tasks, std::string_view name) {
  for (const Task& task : tasks)
    if (task.name == name) return task;
  throw std::runtime_error("no such task");
}

TEST(Tasks, AreThoseOfTheDesign) {
  Share share;
  auto tasks = load_tasks(share.path());
  ASSERT_TRUE(tasks) << tasks.error().message;
  EXPECT_THAT(names(*tasks),
              ElementsAre("medium", "medium-mls", "nativebit-2.2b", "nativebit-25m", "quick",
                          "quick-mls", "quick-qat", "small", "smollm-135m", "tiny", "tiny-llama",
                          "tiny-llama-nativebit", "tiny-llama-qat", "tiny-mls"));
  for (const Task& task : *tasks) {
    const bool published = task.name.ends_with("-mls");
    EXPECT_EQ(task.tests, 3) << task.name;
    EXPECT_EQ(task.rules.quantize_head, published) << task.name;
    EXPECT_EQ(task.rules.paper_compat, published) << task.name;
    EXPECT_EQ(task.preset, published ? task.name.substr(0, task.name.size() - 4) : task.name);
    if (published) {
      EXPECT_EQ(task.rules.seed, 42) << task.name;
    }
    EXPECT_EQ(task.allowed_config.size(), 7u);
    EXPECT_FALSE(task.description.empty());
  }
}

TEST(Tasks, BenchmarksAreForTokensOfGpt2) {
  Share share;
  const std::vector<Task> tasks = load_tasks(share.path()).value();
  for (const Task& task : tasks) {
    const bool asked = task.name.starts_with("small") || task.name.starts_with("medium");
    const bool llama = task.name.starts_with("smollm");
    EXPECT_EQ(task.benchmarks.size(), asked && !llama ? 6u : 0u) << task.name;
    EXPECT_EQ(task.benchmark_files.size(), task.benchmarks.size());
    EXPECT_EQ(to_json(task)["benchmarks"].size(), task.benchmarks.size());
  }
}

TEST(Tasks, ThePresetsOwnValuesAreWithinTheBounds) {
  Share share;
  const std::vector<Task> tasks = load_tasks(share.path()).value();
  for (const Task& task : tasks) {
    const json preset = load_preset(share.path(), task.preset).value();
    for (const auto& [key, bounds] : task.allowed_config) {
      const double value = preset["train"][key].get<double>();
      EXPECT_LE(bounds.low, value) << task.name << " " << key;
      EXPECT_GE(bounds.high, value) << task.name << " " << key;
    }
  }
}

TEST(Tasks, AsTheApiAndAJobShowThem) {
  Share share;
  const Task task = find(load_tasks(share.path()).value(), "quick-mls");
  const json shown = to_json(task);
  EXPECT_EQ(shown["name"], "quick-mls");
  EXPECT_EQ(shown["budget"], json({{"tests", 3}}));
  EXPECT_EQ(shown["rules"], json({{"quantize_head", true}, {"paper_compat", true}, {"seed", 42}}));
  EXPECT_EQ(shown["allowed_config"]["learning_rate"], json({1e-5, 0.1}));
  EXPECT_EQ(shown["baselines"], json::array());
  const Task quick = find(load_tasks(share.path()).value(), "quick");
  EXPECT_TRUE(to_json(quick)["rules"]["seed"].is_null());
  EXPECT_TRUE(to_json(quick)["init_from"].is_null());
  const Task qat = find(load_tasks(share.path()).value(), "quick-qat");
  EXPECT_EQ(to_json(qat)["init_from"], "models/quick");
  for (const char* name : {"tiny-llama-qat", "tiny-llama-nativebit"}) {
    const Task from_llama = find(load_tasks(share.path()).value(), name);
    EXPECT_EQ(to_json(from_llama)["init_from"], "models/tiny-llama");
    EXPECT_EQ(load_preset(share.path(), name).value()["model"],
              load_preset(share.path(), "tiny-llama").value()["model"]);
  }
  EXPECT_TRUE(qat.initial_model.is_null());  // looked for when it is needed
  const json rules = job_rules(task);
  EXPECT_EQ(rules.size(), 3u);
  EXPECT_EQ(rules["paper_compat"], true);
  EXPECT_EQ(rules["allowed_config"]["warmup_iters"], json({0.0, 400.0}));
}

TEST(Tasks, NameFileAndKeyOfAMistake) {
  Share share;
  const std::string good = share.read("tasks/quick.json");
  auto error_with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    share.write("tasks/quick.json", text.replace(at, from.size(), to));
    auto tasks = load_tasks(share.path());
    EXPECT_FALSE(tasks) << to;
    if (tasks) return std::string();
    EXPECT_EQ(tasks.error().code, "bad_task");
    EXPECT_THAT(tasks.error().message, HasSubstr("quick.json: "));
    return tasks.error().message;
  };
  EXPECT_THAT(error_with("\"tests\": 3", "\"tests\": 3, \"budget\": 3"),
              HasSubstr("unknown key budget"));
  EXPECT_THAT(error_with("\"tests\": 3", "\"tests\": 3, \"init_from\": 3"),
              HasSubstr("init_from must be text"));
  EXPECT_THAT(error_with("\"tests\": 3", "\"tests\": 0"), HasSubstr("tests must be"));
  EXPECT_THAT(error_with("\"tests\": 3", "\"tests\": 2.5"), HasSubstr("tests must be"));
  EXPECT_THAT(error_with("\"tests\": 3", "\"tests\": 99999999999999999999"),
              HasSubstr("tests must be"));
  EXPECT_THAT(error_with("\"preset\": \"quick\"", "\"preset\": \"nope\""),
              HasSubstr("there is no preset 'nope'"));
  EXPECT_THAT(error_with("\"preset\": \"quick\"", "\"preset\": 3"),
              HasSubstr("preset must be text"));
  EXPECT_THAT(error_with("\"name\": \"quick\"", "\"name\": \"tiny\""),
              HasSubstr("name must be 'quick'"));
  EXPECT_THAT(error_with("\"paper_compat\": false", "\"paper_compat\": 0"),
              HasSubstr("rules.paper_compat"));
  EXPECT_THAT(error_with("\"paper_compat\": false", "\"papercompat\": false"),
              HasSubstr("unknown key rules.papercompat"));
  EXPECT_THAT(error_with("\"paper_compat\": false", "\"paper_compat\": false, \"seed\": -1"),
              HasSubstr("rules.seed"));
  EXPECT_THAT(error_with("\"rules\": {", "\"rules\": 1, \"x\": {"), HasSubstr("unknown key x"));
  EXPECT_THAT(error_with("\"learning_rate\":", "\"seed\":"),
              HasSubstr("unknown key allowed_config.seed"));
  EXPECT_THAT(error_with("[0.00001, 0.1]", "[0.1, 0.00001]"),
              HasSubstr("allowed_config.learning_rate must be [low, high]"));
  EXPECT_THAT(error_with("[0.00001, 0.1]", "[1, 2, 3]"), HasSubstr("allowed_config.learning_rate"));
  EXPECT_THAT(error_with("[0.00001, 0.1]", "[\"a\", 2]"),
              HasSubstr("allowed_config.learning_rate"));
  EXPECT_THAT(error_with("\"baselines\": []", "\"baselines\": {}"),
              HasSubstr("baselines must be a list"));
  EXPECT_THAT(error_with("\"baselines\": []", "\"baselines\": [{\"name\": \"x\"}]"),
              HasSubstr("baselines.val_loss"));
  EXPECT_THAT(error_with("\"baselines\": []", "\"baselines\": [{\"name\": \"x\", \"score\": 1}]"),
              HasSubstr("unknown key baselines.score"));
  EXPECT_THAT(error_with("{", "x{"), HasSubstr("not valid JSON"));
}

TEST(Tasks, TakeBaselinesAndADefaultBudget) {
  Share share;
  std::string text = share.read("tasks/quick.json");
  text.replace(text.find("\"baselines\": []"), 15,
               R"("baselines": [{"name": "float", "val_loss": 1.6, "source": "measured"}])");
  text.replace(text.find("  \"tests\": 3,\n"), 14, "");
  share.write("tasks/quick.json", text);
  const Task task = find(load_tasks(share.path()).value(), "quick");
  EXPECT_EQ(task.baselines[0]["name"], "float");
  EXPECT_EQ(task.tests, 3);
}

TEST(Tasks, ABrokenPresetIsFoundAtStart) {
  Share share;
  share.write("presets/tiny.json", "{}");
  EXPECT_EQ(load_tasks(share.path()).error().code, "bad_preset");
}

TEST(Tasks, SayWhenThereAreNone) {
  EXPECT_EQ(load_tasks("/nowhere").error().code, "file_not_found");
  Share share;
  std::filesystem::remove_all(share.path() / "tasks");
  std::filesystem::create_directories(share.path() / "tasks");
  EXPECT_EQ(load_tasks(share.path()).error().code, "bad_task");
}

}  // namespace
}  // namespace bitloop::tasks
