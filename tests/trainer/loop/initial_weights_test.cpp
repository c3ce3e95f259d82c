#include "trainer/loop/initial_weights.h"

#include <ATen/ATen.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <limits>

#include "harness/base/sha256.h"
#include "tests/trainer/fixture.h"
#include "trainer/checkpoint/huggingface.h"
#include "trainer/checkpoint/safetensors.h"

namespace bitloop::trainer {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class InitialWeightsTest : public testing::Test {
 protected:
  InitialWeightsTest() : trained_(small_model(), false, 7), model_(small_model(), false, 3) {}

  // Writes the tensors, and describes the file as the host would; its descriptor is open.
  json describe(const NamedTensors& tensors, const char* kind = "run", const json& config = {}) {
    const std::string path = testing::TempDir() + "initial-" + std::to_string(::getpid());
    {
      auto file = open_file(path, O_WRONLY | O_CREAT | O_TRUNC);
      EXPECT_TRUE(file && write_safetensors(file->get(), tensors));
    }
    const std::string bytes = read_file(path).value();
    Sha256 digest;
    digest.add(bytes);
    auto file = open_file(path, O_RDONLY);
    EXPECT_TRUE(file);
    return {{"path", "local/1"},
            {"kind", kind},
            {"config", config},
            {"files",
             {{{"path", "weights.safetensors"},
               {"sha256", digest.finish()},
               {"fd", file->release()}}}}};
  }
  Status load(const json& init_from) {
    const auto weights = InitialWeights::map(init_from);
    EXPECT_TRUE(weights) << weights.error().message;
    return weights->load(model_);
  }
  void refused(const json& init_from, const char* code, const char* sentence) {
    const Status done = load(init_from);
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, code);
    EXPECT_THAT(done.error().message, HasSubstr(sentence));
    EXPECT_THAT(done.error().message, HasSubstr("init_from: local/1 "));
  }
  NamedTensors changed(const std::string& name,
                       const std::function<void(NamedTensors&, size_t)>& by) {
    NamedTensors tensors;
    for (const auto& [its, tensor] : trained_.named_parameters())
      tensors.emplace_back(its, tensor.detach().clone());
    for (size_t i = 0; i < tensors.size(); ++i)
      if (tensors[i].first == name) {
        by(tensors, i);
        return tensors;
      }
    ADD_FAILURE() << name;
    return tensors;
  }

  Transformer trained_, model_;
};

TEST_F(InitialWeightsTest, AreTheRunsParameters) {
  NamedTensors state = trained_.named_parameters();
  state.emplace_back("h.0.attn.c_attn.state.mean", at::ones({1}));  // the quantizer's, of no use
  const Status loaded = load(describe(state));
  ASSERT_TRUE(loaded) << loaded.error().message;
  const auto wanted = trained_.named_parameters(), got = model_.named_parameters();
  for (size_t i = 0; i < wanted.size(); ++i)
    EXPECT_TRUE(at::equal(wanted[i].second, got[i].second)) << wanted[i].first;
}

TEST_F(InitialWeightsTest, NoneLeavesTheModelAsItIs) {
  const at::Tensor before = model_.named_parameters()[0].second.detach().clone();
  ASSERT_TRUE(load(nullptr));
  EXPECT_TRUE(at::equal(before, model_.named_parameters()[0].second));
}

TEST_F(InitialWeightsTest, OfHuggingFaceWithoutThePaddingOfTheVocabulary) {
  const json config = huggingface_config(small_model());
  const NamedTensors tensors = huggingface_tensors(trained_);
  const at::Tensor before = model_.named_parameters()[0].second.detach().clone();
  const Status loaded = load(describe(tensors, "huggingface", config));
  ASSERT_TRUE(loaded) << loaded.error().message;
  const auto wanted = trained_.named_parameters(), got = model_.named_parameters();
  ASSERT_EQ(wanted[0].first, "wte.weight");
  EXPECT_TRUE(at::equal(wanted[0].second.narrow(0, 0, 17), got[0].second.narrow(0, 0, 17)));
  EXPECT_TRUE(at::equal(before.narrow(0, 17, 15), got[0].second.narrow(0, 17, 15)));  // as drawn
  for (size_t i = 1; i < wanted.size(); ++i)
    EXPECT_TRUE(at::equal(wanted[i].second, got[i].second)) << wanted[i].first;

  json heads = config;
  heads["n_head"] = 4;
  refused(describe(tensors, "huggingface", heads), "bad_weights",
          "its number of heads is 4, but the preset's is 2");
  refused(describe(tensors, "huggingface", {{"model_type", "opt"}}), "bad_weights",
          "can't be used: ");
}

TEST_F(InitialWeightsTest, WhatDoesNotFitIsNamed) {
  refused(describe(changed("wpe.weight",
                           [](NamedTensors& all, size_t i) {
                             all[i].second = at::ones({13, 32});
                           })),
          "bad_weights", "has 'wpe.weight' as 13 x 32, but the preset's model makes it 12 x 32");
  refused(describe(changed("h.1.ln_2.bias",
                           [](NamedTensors& all, size_t i) {
                             all.erase(all.begin() + static_cast<int64_t>(i));
                           })),
          "bad_weights", "is of another architecture: it has no 'h.1.ln_2.bias'");
  for (const double bad :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()})
    refused(describe(changed("h.0.mlp.c_fc.weight",
                             [&](NamedTensors& all, size_t i) { all[i].second[3][2] = bad; })),
            "bad_weights", "holds a number in 'h.0.mlp.c_fc.weight' that is not finite");
}

TEST_F(InitialWeightsTest, AFileThatChangedIsNoticed) {
  json init_from = describe(trained_.named_parameters());
  init_from["files"][0]["sha256"] = std::string(64, '0');
  refused(init_from, "init_changed", "is another file than when the run was made");
}

TEST_F(InitialWeightsTest, ADescriptionThatIsNoneIsABadJob) {
  for (const json& wrong : {json(3), json({{"path", "x"}}), json({{"files", {{{"fd", "one"}}}}})}) {
    const auto weights = InitialWeights::map(wrong);
    ASSERT_FALSE(weights);
    EXPECT_EQ(weights.error().code, "bad_job");
  }
}

}  // namespace
}  // namespace bitloop::trainer
