#include "harness/api/mcp/wording.h"

#include <gtest/gtest.h>

namespace bitloop::api::mcp {
namespace {

using nlohmann::ordered_json;

TEST(Wording, ACheckSaysWhatFails) {
  ordered_json check = ordered_json::parse(
      R"({"ok":true,"findings":[{"rule":"levels","ok":true,"detail":"all"}],"bits_per_weight":1.5853,"ms":12})");
  EXPECT_EQ(check_text(check), "[check] ok, bits_per_weight=1.5853, 12 ms\nok     levels: all\n");
  check["ok"] = false;
  check["findings"][0]["ok"] = false;
  EXPECT_EQ(check_text(check),
            "[check] FAILED: mend it before you spend a test\nFAILED levels: all\n");
}

TEST(Wording, ARunningTestSaysWhatToDoNext) {
  EXPECT_EQ(
      test_text({{"test", 2}, {"status", "running"}, {"message", "[Test #2] running"}},
                "step 3 of 4"),
      "[Test #2] running (step 3 of 4); call test(n=2) to wait for its end. While it runs the "
      "candidate can't be edited.");
  EXPECT_EQ(test_text({{"test", 2}, {"status", "ok"}, {"message", "done"}}, ""), "done");
  // What HTTP's agents call is a tool here.
  EXPECT_EQ(test_text({{"test", 2},
                       {"status", "ok"},
                       {"message", "Revert to test #1 (POST …/revert {\"test\": 1}): worse."}},
                      ""),
            "Revert to test #1 (revert(n=1)): worse.");
}

TEST(Wording, AMissingNumberIsADashInTheTable) {
  const ordered_json answer = ordered_json::parse(
      R"({"sessions":[{"id":"a","task":"quick","agent":"","state":"open","tests_left":3}],
          "results":[{"session":"a","test":1,"task":"quick","quantizer":"q","status":"rejected",
                      "flags":["leaks","degraded"],"val_loss":null,"bits_per_weight":2.0,"description":"d"}]})");
  EXPECT_EQ(
      results_text(answer),
      "Sessions:\nid\ttask\tagent\tstate\ttests_left\na\tquick\t-\topen\t3\n\n"
      "Results, lowest val_loss first:\n"
      "session\ttest\ttask\tquantizer\tstatus\tflags\tval_loss\tbits_per_weight\tdescription\n"
      "a\t1\tquick\tq\trejected\tleaks,degraded\t-\t2.0000\td\n");
}

}  // namespace
}  // namespace bitloop::api::mcp
