#include "trainer/job.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/trainer/fixture.h"

namespace bitloop::trainer {
namespace {

using nlohmann::json;
using testing::HasSubstr;

json quick_job() {
  const auto preset =
      read_file(std::filesystem::path(BITLOOP_SOURCE_DIR) / "trainer/presets/quick.json");
  return {{"schema_version", 1},
          {"kind", "train"},
          {"nonce", "n"},
          {"seed", 7},
          {"data_dir", "/d"},
          {"candidate", {{"path", "candidate.lua"}, {"content", "return {}"}}},
          {"preset", json::parse(*preset)},
          {"rules",
           {{"quantize_head", true},
            {"allowed_config", {{"learning_rate", {1e-4, 1e-2}}, {"warmup_iters", {0, 100}}}}}}};
}

TEST(Job, ReadsThePreset) {
  const auto job = parse_job(quick_job().dump());
  ASSERT_TRUE(job) << job.error().message;
  EXPECT_EQ(job->train.steps, 400);
  EXPECT_EQ(job->train.seed, 7u);
  EXPECT_TRUE(job->rules.quantize_head);
  EXPECT_EQ(job->model.width, 128);
  EXPECT_EQ(job->train.device, "cpu");
}

TEST(Job, SaysWhichMemberIsWrong) {
  const auto message = [](auto change) {
    json document = quick_job();
    change(document);
    const auto job = parse_job(document.dump());
    return job ? std::string("parsed") : job.error().message;
  };
  EXPECT_THAT(message([](json& j) { j["schema_version"] = 2; }), HasSubstr("schema_version"));
  EXPECT_THAT(message([](json& j) { j["kind"] = "pack"; }), HasSubstr("kind"));
  EXPECT_THAT(message([](json& j) { j["kind"] = "profile"; }), HasSubstr("profile_steps"));
  EXPECT_THAT(message([](json& j) { j["profile_steps"] = 3; }), HasSubstr("profile_steps"));
  EXPECT_EQ(message([](json& j) { j["kind"] = "profile", j["profile_steps"] = 3; }), "parsed");
  EXPECT_THAT(message([](json& j) { j["preset"]["model"]["heads"] = 3; }), HasSubstr("heads"));
  EXPECT_THAT(message([](json& j) { j["preset"]["model"]["architecture"] = "mamba"; }),
              HasSubstr("model.architecture must be gpt2 or llama, got 'mamba'"));
  EXPECT_THAT(message([](json& j) { j["preset"]["model"]["kv_heads"] = 2; }),
              HasSubstr("belong to architecture llama"));
  EXPECT_THAT(message([](json& j) {
                j["preset"]["model"]["architecture"] = "llama";
                j["preset"]["model"]["kv_heads"] = 3;
              }),
              HasSubstr("model.kv_heads 3 does not divide model.heads 4"));
  EXPECT_THAT(message([](json& j) { j["preset"]["train"]["sequence"] = 129; }),
              HasSubstr("train.sequence 129 is longer than model.context 128"));
  EXPECT_THAT(message([](json& j) { j["preset"]["train"]["schedule"] = "step"; }),
              HasSubstr("train.schedule must be cosine or constant"));
  EXPECT_THAT(message([](json& j) { j["preset"]["eval"]["window"] = 200; }),
              HasSubstr("eval.window 200 is longer"));
  EXPECT_THAT(message([](json& j) {
                j["preset"]["qat"] = {{"lambda", "sudden"}};
              }),
              HasSubstr("qat.lambda must be none, linear, cosine or plateau"));
  EXPECT_THAT(message([](json& j) { j["preset"]["qat"] = {{"max", 1.5}}; }), HasSubstr("qat.max"));
  EXPECT_THAT(message([](json& j) { j["preset"]["train"]["micro_batch"] = 5; }),
              HasSubstr("micro_batch"));
  EXPECT_THAT(message([](json& j) { j["preset"]["train"]["device"] = "tpu"; }),
              HasSubstr("train.device must be cpu, cuda or auto"));
  EXPECT_THAT(message([](json& j) { j["preset"]["train"]["steps"] = "many"; }),
              HasSubstr("can't be read"));
  EXPECT_THAT(message([](json& j) { j.erase("candidate"); }), HasSubstr("candidate"));
  EXPECT_FALSE(parse_job("{"));
}

TEST(Job, ACheckMayGetItsCandidateLater) {
  json document = quick_job();
  document["kind"] = "check";
  document["candidate"] = nullptr;
  EXPECT_THAT(parse_job(document.dump()).error().message, HasSubstr("candidate_fd"));
  // The job with `text` on its descriptor.
  const auto receive = [&](const std::string& text) -> Result<Job> {
    auto ends = make_pipe();
    document["candidate_fd"] = ends->read.release();
    EXPECT_TRUE(write_all(ends->write.get(), text));
    ends->write.reset();
    BITLOOP_ASSIGN(job, parse_job(document.dump()));
    BITLOOP_TRY(receive_candidate(job));
    return job;
  };
  const auto job = receive(R"({"path": "candidate.lua", "content": "return {}"})");
  ASSERT_TRUE(job) << job.error().message;
  EXPECT_EQ(job->candidate_path, "candidate.lua");
  EXPECT_EQ(job->candidate, "return {}");
  EXPECT_EQ(job->candidate_fd, -1);
  EXPECT_EQ(receive("").error().code, "no_candidate");
  EXPECT_EQ(receive(R"({"path": "candidate.lua", "cont)").error().code, "bad_job");
  EXPECT_EQ(receive(R"({"path": "candidate.lua"})").error().code, "bad_job");
  document["kind"] = "train";
  EXPECT_EQ(receive("{}").error().message, "only a check may come without its candidate");
}

TEST(Overrides, StayWithinTheTasksBounds) {
  const Rules rules = parse_job(quick_job().dump())->rules;
  TrainConfig train;
  ASSERT_TRUE(apply_overrides({{"learning_rate", 5e-3}, {"warmup_iters", 7}}, rules, train));
  EXPECT_DOUBLE_EQ(train.learning_rate, 5e-3);
  EXPECT_EQ(train.warmup_iters, 7);
  for (const json& bad :
       {json{{"learning_rate", 1.0}}, json{{"learning_rate", "fast"}}, json{{"steps", 4000}},
        json{{"seed", 1}}, json{{"batch", 64}}, json{{"warmup_iters", 1.5}}}) {
    const Status status = apply_overrides(bad, rules, train);
    ASSERT_FALSE(status) << bad;
    EXPECT_EQ(status.error().code, "rejected") << bad;
  }
}

TEST(Job, ARankHasItsPartOfTheBatchAndOfTheThreads) {
  json document = quick_job();  // 16 sequences, in one micro-batch, by 2 threads
  const auto parsed = [&](int rank, int count) {
    document["ranks"] = {{"rank", rank},   {"count", count},          {"links", {7}},
                         {"memory_fd", 6}, {"memory_bytes", 1 << 20}, {"wait_s", 9}};
    return parse_job(document.dump());
  };
  EXPECT_EQ(parse_job(document.dump())->micro_batch(), 16);
  EXPECT_EQ(parsed(1, 4)->micro_batch(), 4);
  EXPECT_EQ(parsed(1, 4)->threads, 1);
  EXPECT_EQ(parsed(1, 4)->ranks.links, std::vector<int>{7});
  EXPECT_EQ(parsed(1, 4)->ranks.wait_s, 9);
  document["preset"]["train"]["batch"] = 48;
  document["preset"]["train"]["micro_batch"] = 16;
  EXPECT_EQ(parsed(0, 2)->micro_batch(), 12);  // the largest part of 24 that is not above 16
  EXPECT_THAT(parsed(0, 5).error().message, HasSubstr("train.batch 48 is not a multiple of 5"));
  EXPECT_EQ(parsed(2, 2).error().code, "bad_job");
  EXPECT_EQ(parsed(-1, 2).error().code, "bad_job");
  EXPECT_EQ(parsed(0, 0).error().code, "bad_job");
}

}  // namespace
}  // namespace bitloop::trainer
