// The layers of the jail, by name. Each is reported in every verdict as active or missing with its
// reason.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

namespace bitloop::sandbox {

enum class Layer {
  kUserNamespace,   // a user without rights anywhere else; the other namespaces need it
  kMountNamespace,  // mounts of its own
  kPidNamespace,    // sees and signals only itself; dies with its first process
  kNetNamespace,    // no network, not even loopback
  kIpcNamespace,
  kUtsNamespace,
  kFileSystem,    // pivot_root onto a read-only view of the few files it needs
  kLandlock,      // a second opinion on files, and no program but its own can be executed
  kCapabilities,  // none, not even inside; no-new-privs
  kSeccomp,       // system calls by allow-list
  kRlimits,       // threads, descriptors, file size, processor time, no core dumps
  kMemory,        // RLIMIT_DATA, and resident memory watched by the supervisor
  kDescriptors,   // none inherited, no environment, a session of its own
  kDeadline,      // killed by pidfd
  kCgroup,        // memory and process caps of the kernel, where a control group can be made
};

inline constexpr int kLayerCount = static_cast<int>(Layer::kCgroup) + 1;

const char* layer_name(Layer layer);  // "user_namespace", …
// False for the control group alone: memory and processes are capped without it, and a plain user
// seldom gets one.
bool layer_required(Layer layer);

struct LayerState {
  std::string layer;  // layer_name
  std::string state;  // "active" or "missing: <reason>"
};

// Whether a required layer is missing among these.
bool is_degraded(const std::vector<LayerState>& states);

// Which layers are missing, and why.
class LayerSet {
 public:
  explicit LayerSet(const std::set<std::string>& disabled_for_test = {});
  bool has(Layer layer) const { return !missing_.contains(layer); }
  // Marks a layer as missing, and with it the ones that can't do without it. The first reason
  // stays.
  void lose(Layer layer, const std::string& reason);
  bool degraded() const;  // a required layer is missing
  std::vector<LayerState> states() const;
  // One sentence: what is missing, what to do, and what allow_degraded would give up. Requires:
  // degraded().
  std::string refusal() const;

 private:
  std::map<Layer, std::string> missing_;
};

}  // namespace bitloop::sandbox
