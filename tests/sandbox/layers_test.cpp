#include "sandbox/layers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sandbox/jail.h"

namespace bitloop::sandbox {
namespace {

using ::testing::HasSubstr;

TEST(LayersTest, AllAreActiveAtFirst) {
  const LayerSet layers;
  EXPECT_FALSE(layers.degraded());
  for (const LayerState& state : layers.states()) EXPECT_EQ(state.state, "active") << state.layer;
  EXPECT_FALSE(is_degraded(layers.states()));
}

TEST(LayersTest, LosingTheUserNamespaceLosesTheOthers) {
  LayerSet layers;
  layers.lose(Layer::kUserNamespace, "denied");
  for (const Layer layer :
       {Layer::kMountNamespace, Layer::kPidNamespace, Layer::kNetNamespace, Layer::kFileSystem})
    EXPECT_FALSE(layers.has(layer));
  EXPECT_TRUE(layers.has(Layer::kSeccomp));
  EXPECT_TRUE(is_degraded(layers.states()));
  EXPECT_THAT(layers.refusal(), HasSubstr("user_namespace (denied)"));
  EXPECT_THAT(layers.refusal(), HasSubstr("--allow-degraded"));
}

TEST(LayersTest, TheFirstReasonStays) {
  LayerSet layers;
  layers.lose(Layer::kLandlock, "first");
  layers.lose(Layer::kLandlock, "second");
  EXPECT_THAT(layers.refusal(), HasSubstr("first"));
}

TEST(LayersTest, AControlGroupIsNamedButNotRequired) {
  LayerSet layers;
  layers.lose(Layer::kCgroup, "a plain user");
  EXPECT_FALSE(layers.degraded());
  EXPECT_FALSE(is_degraded(layers.states()));
  EXPECT_EQ(layers.states().back().state, "missing: a plain user");
}

TEST(LayersTest, ProbeNamesEveryLayerAndLeavesNothing) {
  const auto states = probe();
  ASSERT_EQ(states.size(), static_cast<size_t>(kLayerCount));
  for (int i = 0; i < kLayerCount; ++i) {
    EXPECT_EQ(states[i].layer, layer_name(static_cast<Layer>(i)));
    EXPECT_TRUE(states[i].state == "active" || states[i].state.starts_with("missing: "))
        << states[i].state;
  }
}

}  // namespace
}  // namespace bitloop::sandbox
