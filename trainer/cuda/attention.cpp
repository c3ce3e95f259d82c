#include "trainer/cuda/attention.h"

#include <cudnn_frontend.h>

#include <cmath>
#include <unordered_map>

namespace bitloop::cuda {
namespace {

namespace fe = cudnn_frontend;
using Tensor = std::shared_ptr<fe::graph::Tensor_attributes>;
using kernels::Bf16;
using kernels::DeviceAttention;

enum Uid : int64_t { kQ = 1, kK, kV, kOut, kLse, kDout, kDq, kDk, kDv };

// Of queries, keys or values, which lie beside one another in a row: (B, H, T, S) in (B, T, 3, H,
// S).
Tensor part(fe::graph::Graph& graph, const DeviceAttention& s, Uid uid) {
  return graph.tensor(fe::graph::Tensor_attributes()
                          .set_uid(uid)
                          .set_dim({s.B, s.H, s.T, s.S})
                          .set_stride({s.T * 3 * s.H * s.S, s.S, 3 * s.H * s.S, 1}));
}
// The same of (B, T, H, S).
Tensor whole(fe::graph::Graph& graph, const DeviceAttention& s, Uid uid) {
  return graph.tensor(fe::graph::Tensor_attributes()
                          .set_uid(uid)
                          .set_dim({s.B, s.H, s.T, s.S})
                          .set_stride({s.T * s.H * s.S, s.S, s.H * s.S, 1}));
}

}  // namespace

struct Attention::Plan {
  fe::graph::Graph graph;
  bool usable = false;
};

Attention::Attention(Failure& failure) : failure_(failure) {}

Attention::~Attention() {
  plans_.clear();
  if (handle_ != nullptr) cudnnDestroy(handle_);
}

Attention::Plan* Attention::plan(const DeviceAttention& s, bool backward) {
  std::unique_ptr<Plan>& known = plans_[{s.B, s.T, s.H, s.S, backward}];
  if (known != nullptr) return known->usable ? known.get() : nullptr;
  known = std::make_unique<Plan>();
  if (handle_ == nullptr && cudnnCreate(&handle_) != CUDNN_STATUS_SUCCESS) {
    failure_.note("cuDNN", "can't start");
    return nullptr;
  }
  fe::graph::Graph& graph = known->graph;
  graph.set_io_data_type(fe::DataType_t::BFLOAT16)
      .set_intermediate_data_type(fe::DataType_t::FLOAT)
      .set_compute_data_type(fe::DataType_t::FLOAT);
  const Tensor q = part(graph, s, kQ), k = part(graph, s, kK), v = part(graph, s, kV);
  const float scale = 1.0f / std::sqrt(static_cast<float>(s.S));
  const std::vector<int64_t> of_row = {s.B, s.H, s.T, 1}, row_strides = {s.H * s.T, s.T, 1, 1};
  const std::vector<int64_t> dims = {s.B, s.H, s.T, s.S};
  if (backward) {
    const Tensor out = whole(graph, s, kOut), dout = whole(graph, s, kDout);
    const Tensor lse = graph.tensor(fe::graph::Tensor_attributes()
                                        .set_uid(kLse)
                                        .set_dim(of_row)
                                        .set_stride(row_strides)
                                        .set_data_type(fe::DataType_t::FLOAT));
    auto made = graph.sdpa_backward(q, k, v, out, dout, lse,
                                    fe::graph::SDPA_backward_attributes()
                                        .set_name("attention_backward")
                                        .set_causal_mask(true)
                                        .set_deterministic_algorithm(deterministic_)
                                        .set_attn_scale(scale));
    const int64_t uids[] = {kDq, kDk, kDv};
    for (size_t i = 0; i < 3; ++i)
      made[i]->set_output(true).set_uid(uids[i]).set_dim(dims).set_stride(
          {s.T * 3 * s.H * s.S, s.S, 3 * s.H * s.S, 1});
  } else {
    auto [out, lse] = graph.sdpa(q, k, v,
                                 fe::graph::SDPA_attributes()
                                     .set_name("attention")
                                     .set_generate_stats(true)
                                     .set_causal_mask(true)
                                     .set_attn_scale(scale));
    out->set_output(true).set_uid(kOut).set_dim(dims).set_stride(
        {s.T * s.H * s.S, s.S, s.H * s.S, 1});
    lse->set_output(true)
        .set_uid(kLse)
        .set_dim(of_row)
        .set_stride(row_strides)
        .set_data_type(fe::DataType_t::FLOAT);
  }
  fe::error_t built = graph.build(handle_, {fe::HeurMode_t::A});
  if (built.is_bad()) {
    failure_.note("cuDNN has no attention for this shape", built.get_message());
    return nullptr;
  }
  known->usable = true;
  return known.get();
}

namespace {

void execute(fe::graph::Graph& graph, cudnnHandle_t handle,
             std::unordered_map<int64_t, void*> pointers, DeviceMemory& workspace,
             Failure& failure) {
  int64_t bytes = 0;
  if (graph.get_workspace_size(bytes).is_bad()) bytes = 0;
  void* memory = workspace.get<char>(static_cast<size_t>(bytes), failure);
  if (fe::error_t done = graph.execute(handle, pointers, memory); done.is_bad())
    failure.note("attention failed", done.get_message());
}

void* address(const void* pointer) { return const_cast<void*>(pointer); }

}  // namespace

void Attention::forward(const DeviceAttention& s, const Bf16* qkv, Bf16* out, float* lse) {
  Plan* found = plan(s, false);
  if (found == nullptr) return;
  const int64_t D = s.H * s.S;
  execute(found->graph, handle_,
          {{kQ, address(qkv)},
           {kK, address(qkv + D)},
           {kV, address(qkv + 2 * D)},
           {kOut, out},
           {kLse, lse}},
          workspace_, failure_);
}

void Attention::backward(const DeviceAttention& s, const Bf16* qkv, const Bf16* out,
                         const float* lse, const Bf16* dout, Bf16* dqkv) {
  Plan* found = plan(s, true);
  if (found == nullptr) return;
  const int64_t D = s.H * s.S;
  execute(found->graph, handle_,
          {{kQ, address(qkv)},
           {kK, address(qkv + D)},
           {kV, address(qkv + 2 * D)},
           {kOut, address(out)},
           {kLse, address(lse)},
           {kDout, address(dout)},
           {kDq, dqkv},
           {kDk, dqkv + D},
           {kDv, dqkv + 2 * D}},
          workspace_, failure_);
}

}  // namespace bitloop::cuda
