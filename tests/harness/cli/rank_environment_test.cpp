#include "harness/cli/rank_environment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace bitloop::cli {
namespace {

using ::testing::HasSubstr;

Result<std::optional<RankEnvironment>> from(const std::map<std::string, std::string>& variables) {
  return rank_environment([&](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

TEST(RankEnvironment, NothingIsSaidWhereOneProcessIsAlone) {
  EXPECT_FALSE(from({}).value());
  EXPECT_FALSE(from({{"WORLD_SIZE", "1"}, {"RANK", "0"}}).value());
  EXPECT_FALSE(from({{"SLURM_STEP_NUM_TASKS", "1"}}).value());
  // In a batch script, which is no rank: SLURM says how many tasks a step would have.
  EXPECT_FALSE(from({{"SLURM_NTASKS", "8"}, {"SLURM_PROCID", "0"}}).value());
}

TEST(RankEnvironment, TorchrunsNames) {
  const auto made = from({{"RANK", "3"},
                          {"WORLD_SIZE", "4"},
                          {"LOCAL_RANK", "1"},
                          {"MASTER_ADDR", "127.0.0.1"},
                          {"MASTER_PORT", "1234"},
                          {"TORCHELASTIC_USE_AGENT_STORE", "True"},
                          {"SLURM_PROCID", "7"}})
                        .value();
  ASSERT_TRUE(made);
  EXPECT_EQ(made->rank, 3);
  EXPECT_EQ(made->count, 4);
  EXPECT_EQ(made->address, "127.0.0.1");
  EXPECT_EQ(made->own_address, "127.0.0.1");
  EXPECT_EQ(made->port, 1234);
  EXPECT_TRUE(made->store_is_there);
  EXPECT_EQ(made->job_member()["rank"], 3);
  EXPECT_EQ(made->job_member()["local_rank"], 1);
}

TEST(RankEnvironment, SlurmsNames) {
  const std::map<std::string, std::string> step = {{"SLURM_PROCID", "1"},
                                                   {"SLURM_LOCALID", "0"},
                                                   {"SLURM_STEP_NUM_TASKS", "2"},
                                                   {"SLURM_STEP_NODELIST", "127.0.0.1,other"},
                                                   {"SLURM_JOB_ID", "123456"}};
  const auto made = from(step).value();
  ASSERT_TRUE(made);
  EXPECT_EQ(made->rank, 1);
  EXPECT_EQ(made->local_rank, 0);  // the only one of its machine
  EXPECT_EQ(made->address, "127.0.0.1");
  EXPECT_FALSE(made->store_is_there);
  EXPECT_GE(made->port, 10'000);
  EXPECT_LE(made->port, 30'000);
  // The port after it is the repetition's: jobs of neighbouring numbers share neither.
  auto next = step;
  next["SLURM_JOB_ID"] = "123457";
  EXPECT_GE(from(next).value()->port, made->port + 2);
}

TEST(RankEnvironment, WhatIsMissingOrWrongIsNamed) {
  const std::map<std::string, std::string> good = {
      {"RANK", "1"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "127.0.0.1"}};
  for (const auto& [name, value] : std::map<std::string, std::string>{{"RANK", "2"},
                                                                      {"RANK", "-1"},
                                                                      {"WORLD_SIZE", "0"},
                                                                      {"WORLD_SIZE", "2x"},
                                                                      {"MASTER_PORT", "65535"}}) {
    auto wrong = good;
    wrong[name] = value;
    const auto made = from(wrong);
    ASSERT_FALSE(made) << name << value;
    EXPECT_EQ(made.error().code, "wrong_usage");
    EXPECT_THAT(made.error().message, HasSubstr(name + " is '" + value + "'"));
  }
  auto without = good;
  without.erase("MASTER_ADDR");
  EXPECT_THAT(from(without).error().message, HasSubstr("MASTER_ADDR is missing"));
  without = good;
  without.erase("RANK");
  EXPECT_THAT(from(without).error().message, HasSubstr("RANK is ''"));
}

TEST(RankEnvironment, TheFirstOfSlurmsList) {
  EXPECT_EQ(first_node("gpu1"), "gpu1");
  EXPECT_EQ(first_node("gpu1,gpu2"), "gpu1");
  EXPECT_EQ(first_node("gpu[03-05,9],b1"), "gpu03");
  EXPECT_EQ(first_node("a,gpu[3-5]"), "a");
  EXPECT_EQ(first_node("n[7]"), "n7");
  EXPECT_EQ(first_node(""), "");
}

}  // namespace
}  // namespace bitloop::cli
