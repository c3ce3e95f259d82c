#include "harness/cli/profile_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

namespace bitloop::cli {
namespace {

using nlohmann::json;
using testing::HasSubstr;

json profile_record() {
  return {{"type", "profile"},
          {"steps", 4},
          {"step_ms", 10.0},
          {"timed_step_ms", 10.2},
          {"tokens_per_s", 2000.0},
          {"peak_flops", 1e9},
          {"peak_memory_mb", 300.5},
          {"device", "cpu"},
          {"threads", 2},
          {"execution", "fused"},
          {"dropped", 0},
          {"parts",
           {{{"part", "optimiser"}, {"name", "AdamW"}, {"ms", 1.0}, {"calls", 1}},
            {{"part", "forward"}, {"name", "attention"}, {"ms", 3.0}, {"calls", 8}},
            {{"part", "forward"}, {"name", "mlp_fc"}, {"ms", 6.0}, {"calls", 16}}}}};
}
json spans_record() {
  return {{"type", "spans"},
          {"thread", 1},
          {"names",
           json::array({json::array({"forward", "attention"}), json::array({"step", "rest"})})},
          {"spans", {{0, 12.5, 3.25}, {1, 10.0, 20.0}}}};
}
std::string lines(const std::vector<json>& records) {
  std::string text;
  for (const json& record : records) text += record.dump() + "\n";
  return text;
}

TEST(ProfileReport, SharesAddUpAndPartsComeInTheOrderOfAStep) {
  const auto profile = read_profile(lines({profile_record(), spans_record()}));
  ASSERT_TRUE(profile) << profile.error().message;
  double all = 0;
  for (const ProfilePart& part : profile->parts) all += part.share;
  EXPECT_DOUBLE_EQ(all, 1.0);
  EXPECT_EQ(profile->parts[0].name, "mlp_fc");
  EXPECT_DOUBLE_EQ(profile->parts[0].share, 0.6);
  EXPECT_EQ(profile->parts[2].name, "AdamW");
  EXPECT_DOUBLE_EQ(*share_of_peak(*profile, 1e5), 0.2);
  EXPECT_EQ(share_of_peak(*profile, std::nullopt), std::nullopt);
  const std::string text = profile_text(*profile, "quick", 1e5);
  EXPECT_THAT(text,
              HasSubstr("quick: 10.00 ms a step, 2000 tokens/s (fused, cpu on 2 threads, 300 MB)"));
  EXPECT_THAT(text, HasSubstr("20% of the 0.001 TFLOP/s"));
  EXPECT_THAT(text, HasSubstr("the clocks took 2.0% of a step"));
  EXPECT_THAT(text, HasSubstr("total"));
  EXPECT_THAT(text, HasSubstr("100.0%"));
  EXPECT_EQ(profile_document(*profile, std::nullopt)["flops_per_s"], nullptr);
}

TEST(ProfileReport, TheTraceHasCompleteEventsOfEachThread) {
  const auto profile = read_profile(lines({profile_record(), spans_record()}));
  ASSERT_TRUE(profile);
  const json trace = json::parse(chrome_trace(*profile, "x.lua (quick)"));
  std::vector<json> complete;
  for (const json& event : trace.at("traceEvents"))
    if (event.at("ph") == "X") complete.push_back(event);
  ASSERT_EQ(complete.size(), 2u);
  EXPECT_EQ(complete[0], (json{{"name", "forward: attention"},
                               {"cat", "forward"},
                               {"ph", "X"},
                               {"ts", 12.5},
                               {"dur", 3.25},
                               {"pid", 1},
                               {"tid", 1}}));
  EXPECT_EQ(complete[1].at("name"), "step");
}

// Whoever owns the trainer may send anything.
TEST(ProfileReport, ForeignRecordsAreRefusedOrMadeHarmless) {
  const auto damaged = [](const std::function<void(json&, json&)>& change) {
    json profile = profile_record(), spans = spans_record();
    change(profile, spans);
    const auto read = read_profile(lines({profile, spans}));
    return !read && read.error().code == "damaged_records";
  };
  EXPECT_FALSE(damaged([](json&, json&) {}));
  EXPECT_TRUE(damaged([](json& p, json&) { p["steps"] = -1; }));
  EXPECT_TRUE(damaged([](json& p, json&) { p["steps"] = 0; }));
  EXPECT_TRUE(damaged([](json& p, json&) { p["step_ms"] = nullptr; }));
  EXPECT_TRUE(damaged([](json& p, json&) { p["step_ms"] = "fast"; }));
  EXPECT_TRUE(damaged([](json& p, json&) { p["parts"] = json::array(); }));
  EXPECT_TRUE(damaged([](json& p, json&) { p["parts"][0] = 3; }));
  EXPECT_TRUE(damaged([](json& p, json&) { p["parts"][0]["ms"] = 1e300; }));
  EXPECT_TRUE(damaged([](json& p, json&) { p["type"] = "other"; }));
  EXPECT_TRUE(damaged([](json&, json& s) { s["spans"][0][0] = 2; }));
  EXPECT_TRUE(damaged([](json&, json& s) { s["spans"][0][1] = -1; }));
  EXPECT_TRUE(damaged([](json&, json& s) { s["spans"][0] = {1, 2}; }));
  EXPECT_TRUE(damaged([](json&, json& s) { s["names"][0] = json::array({"forward"}); }));
  EXPECT_TRUE(damaged([](json&, json& s) { s["thread"] = "x"; }));
  json evil = profile_record();
  evil["device"] = "\x1b[2Jcpu\n" + std::string(500, 'x');
  const auto read = read_profile(lines({evil}));
  ASSERT_TRUE(read);
  EXPECT_LE(read->device.size(), 80u);
  EXPECT_EQ(read->device.find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace bitloop::cli
