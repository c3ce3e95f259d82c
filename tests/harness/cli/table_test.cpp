#include "harness/cli/table.h"

#include <gtest/gtest.h>

namespace bitloop::cli {
namespace {

TEST(ResultsTable, AlignsColumnsAndMarksWhatIsMissing) {
  ledger::Row row;
  row.session = "a";
  row.test = 1;
  row.task = "quick";
  row.quantizer = "ternary";
  row.status = "ok";
  row.val_loss = 2.31784;
  row.tokens = 819'200;
  row.submitted = true;
  row.flags = {"leaks", "degraded"};
  row.description = "idea";
  EXPECT_EQ(
      results_table({row}),
      "session  test  task   quantizer  status  val_loss  bits  tokens  train_s  tokens/s  final  "
      "flags           "
      "description\n"
      "a           1  quick  ternary    ok        2.3178     -    819k        -         -  yes    "
      "leaks,degraded  "
      "idea\n");
}

TEST(ResultsTable, CutsALongDescriptionBetweenCharacters) {
  ledger::Row row;
  for (int i = 0; i < 40; ++i) row.description += "ü";
  const std::string table = results_table({row});
  EXPECT_NE(table.find("ü...\n"), std::string::npos);
}

}  // namespace
}  // namespace bitloop::cli
