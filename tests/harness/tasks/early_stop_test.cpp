#include "harness/tasks/early_stop.h"

#include <gmock/gmock.h>

#include "harness/tasks/preset.h"
#include "harness/tasks/tasks.h"
#include "tests/harness/tasks/fixture.h"

namespace bitloop::tasks {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class EarlyStopTest : public ::testing::Test {
 protected:
  EarlyStopTest() { std::filesystem::create_directories(share_.path() / "baselines"); }

  json measured() const {
    const EarlyStop stop{rule_, {{1000, 2.5, 2.25}, {1250, 2.25, 2.0}}, {30, 4, 1, 0.0625}};
    json document = to_json(stop);
    document["evaluations"] = evaluations_of(preset());
    return document;
  }
  json preset() const { return load_preset(share_.path(), "tiny").value(); }
  Result<EarlyStop> load(const std::string& text) const {
    share_.write("baselines/tiny-early-stop.json", text);
    return load_early_stop(share_.path(), "tiny", rule_, preset());
  }

  Share share_;
  EarlyStopRule rule_{"binary", 2.5, 0.25, 2};
};

TEST_F(EarlyStopTest, WithoutTheFileNothingIsStopped) {
  const auto stop = load_early_stop(share_.path(), "tiny", rule_, preset());
  ASSERT_TRUE(stop);
  EXPECT_EQ(stop->rule, rule_);
  EXPECT_TRUE(job_early_stop(*stop).is_null());
}

TEST_F(EarlyStopTest, WhatWasMeasuredComesBack) {
  const auto stop = load(measured().dump());
  ASSERT_TRUE(stop) << stop.error().message;
  EXPECT_EQ(job_early_stop(*stop), json({{"baseline", "binary"},
                                         {"consecutive", 2},
                                         {"limits", {{1000, 2.5, 2.25}, {1250, 2.25, 2.0}}}}));
  EXPECT_EQ(json(to_json(*stop))["recorded"],
            json({{"runs", 30}, {"stopped", 4}, {"false_stops", 1}, {"steps_saved", 0.0625}}));
}

TEST_F(EarlyStopTest, LimitsOfAnotherRuleOrOtherEvaluationsAreNotUsed) {
  for (const auto& [key, value] :
       {std::pair<const char*, json>{"noises", 3},
        {"baseline", "ternary"},
        {"from", 0.5},
        {"consecutive", 1},
        {"evaluations", {{"steps", 3000}, {"every", 100}, {"batches", 20}}}}) {
    json document = measured();
    document[key] = value;
    const auto stop = load(document.dump());
    ASSERT_TRUE(stop) << key;
    EXPECT_TRUE(stop->limits.empty()) << key;
    EXPECT_EQ(stop->rule, rule_);
  }
}

TEST_F(EarlyStopTest, ABrokenFileIsNamed) {
  json missing = measured();
  missing.erase("limits");
  for (const std::string& text : {std::string("{"), std::string("[]"), missing.dump()}) {
    const auto stop = load(text);
    ASSERT_FALSE(stop) << text;
    EXPECT_EQ(stop.error().code, "bad_baselines");
    EXPECT_THAT(stop.error().message, HasSubstr("tiny-early-stop.json"));
  }
}

TEST_F(EarlyStopTest, ARuleIsReadInFull) {
  const auto rule = parse_early_stop_rule(
      {{"baseline", "ternary"}, {"noises", 1.5}, {"from", 0.5}, {"consecutive", 3}});
  ASSERT_TRUE(rule);
  EXPECT_EQ(*rule, (EarlyStopRule{"ternary", 1.5, 0.5, 3}));
  for (const auto& [value, part] : {std::pair<json, const char*>{json::array(), "object"},
                                    {json::object(), "baseline"},
                                    {{{"baseline", 1}}, "baseline"},
                                    {{{"baseline", "b"}, {"noises", 0}}, "noises"},
                                    {{{"baseline", "b"}, {"from", 1}}, "from"},
                                    {{{"baseline", "b"}, {"consecutive", 1.5}}, "consecutive"},
                                    {{{"baseline", "b"}, {"patience", 1}}, "patience"}}) {
    const auto bad = parse_early_stop_rule(value);
    ASSERT_FALSE(bad) << value;
    EXPECT_EQ(bad.error().code, "bad_task");
    EXPECT_THAT(bad.error().message, HasSubstr(part));
  }
}

TEST_F(EarlyStopTest, ATaskShowsItsLimits) {
  for (const std::vector<Task> tasks = load_tasks(share_.path()).value(); const Task& task : tasks)
    if (task.name == "tiny") rule_ = task.early_stop.value().rule;
  share_.write("baselines/tiny-early-stop.json", measured().dump());
  for (const std::vector<Task> tasks = load_tasks(share_.path()).value();
       const Task& task : tasks) {
    const json shown = to_json(task)["early_stop"];
    if (task.name == "tiny") {
      EXPECT_EQ(shown["limits"][1], json({{"step", 1250}, {"val_loss", 2.25}, {"baseline", 2.0}}));
    } else if (task.name == "quick" || task.name.ends_with("-mls")) {
      EXPECT_TRUE(shown.is_null()) << task.name;
    }
  }
}

}  // namespace
}  // namespace bitloop::tasks
