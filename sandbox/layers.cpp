#include "sandbox/layers.h"

#include <fmt/format.h>

#include "harness/base/text.h"

namespace bitloop::sandbox {
namespace {

struct LayerInfo {
  const char* name;
  const char* gives_up;  // what a candidate could do without it
};

constexpr LayerInfo kInfo[kLayerCount] = {
    {"user_namespace", "the run has the rights of your user"},
    {"mount_namespace", "your mounts are visible"},
    {"pid_namespace", "the run sees your processes and may outlive its first one"},
    {"net_namespace", "the run has your network"},
    {"ipc_namespace", "the run shares your System V memory"},
    {"uts_namespace", "the run sees the host's name"},
    {"file_system", "the run sees all files that your user may read"},
    {"landlock", "one wall less between the run and your files"},
    {"capabilities", "the run keeps the capabilities of your user"},
    {"seccomp", "every system call is open"},
    {"rlimits", "threads, files and processor time have no limit"},
    {"memory", "the run may take all memory"},
    {"descriptors", "the run inherits descriptors and environment"},
    {"deadline", "the run may go on for ever"},
    {"cgroup", "the memory cap is a poll, not the kernel's"},
};

constexpr Layer kNeedUserNamespace[] = {Layer::kMountNamespace, Layer::kPidNamespace,
                                        Layer::kNetNamespace,   Layer::kIpcNamespace,
                                        Layer::kUtsNamespace,   Layer::kFileSystem};

}  // namespace

const char* layer_name(Layer layer) { return kInfo[static_cast<int>(layer)].name; }

bool layer_required(Layer layer) { return layer != Layer::kCgroup; }

LayerSet::LayerSet(const std::set<std::string>& disabled_for_test) {
  for (int i = 0; i < kLayerCount; ++i)
    if (disabled_for_test.contains(kInfo[i].name))
      lose(static_cast<Layer>(i), "disabled for a test");
}

void LayerSet::lose(Layer layer, const std::string& reason) {
  missing_.try_emplace(layer, reason);
  if (layer == Layer::kUserNamespace)
    for (const Layer other : kNeedUserNamespace)
      missing_.try_emplace(other, "needs the user namespace");
  if (layer == Layer::kMountNamespace)
    missing_.try_emplace(Layer::kFileSystem, "needs the mount namespace");
}

bool LayerSet::degraded() const {
  for (const auto& [layer, reason] : missing_)
    if (layer_required(layer)) return true;
  return false;
}

std::vector<LayerState> LayerSet::states() const {
  std::vector<LayerState> states;
  for (int i = 0; i < kLayerCount; ++i) {
    const auto found = missing_.find(static_cast<Layer>(i));
    states.push_back(
        {kInfo[i].name, found == missing_.end() ? "active" : "missing: " + found->second});
  }
  return states;
}

bool is_degraded(const std::vector<LayerState>& states) {
  for (const LayerState& state : states)
    for (int i = 0; i < kLayerCount; ++i)
      if (state.layer == kInfo[i].name && layer_required(static_cast<Layer>(i)) &&
          state.state != "active")
        return true;
  return false;
}

std::string LayerSet::refusal() const {
  std::vector<std::string> named, given_up;
  for (const auto& [layer, reason] : missing_) {
    if (!layer_required(layer)) continue;
    named.push_back(fmt::format("{} ({})", layer_name(layer), reason));
    given_up.push_back(kInfo[static_cast<int>(layer)].gives_up);
  }
  return fmt::format(
      "the sandbox is not complete here, missing: {}; use a machine or a container that allows it, "
      "or "
      "pass --allow-degraded and accept that {}",
      join(named, ", "), join(given_up, ", "));
}

}  // namespace bitloop::sandbox
