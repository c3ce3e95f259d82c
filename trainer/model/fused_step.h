// The training step of Transformer without autograd: one forward and backward pass written out, few
// passes over memory, low-precision products. It computes what Transformer::forward, cross-entropy
// and backward compute with Products::kBfloat16, within the rounding of bfloat16 (tests compare
// them); that path stays the oracle.
//
// Activations between two products live as the accumulators of the first one: the second one's
// input is made of them row by row, normalised or activated, and quantised at once. Backward makes
// rows of dL/dy the same way. Every thread owns fixed rows, so the same seed gives the same bits.
//
// Threads own whole sequences, and no row needs another sequence's: where the candidate's function
// is a captured program on single rows, each goes through all layers without waiting for the
// others ("apart"), or else they meet after every stage. The numbers are the same.
#pragma once

#include <memory>
#include <vector>

#include "trainer/model/fused_attention.h"
#include "trainer/model/fused_linear.h"
#include "trainer/model/training_pass.h"
#include "trainer/model/transformer.h"

namespace bitloop::trainer {

class FusedTraining : public TrainingPass {
 public:
  // Whether this machine and this shape can do it: otherwise training goes through autograd.
  // `tokens`: of a sequence; 0: config.context.
  static bool supports(const ModelConfig& config, int64_t B, int64_t tokens = 0);

  // For micro-batches of B sequences of so many tokens. All memory is allocated here. `model` must
  // outlive it. With `int8_gradients` the products that make the gradients of the blocks' inputs
  // are of int8 where the forward products are: rows of dL/dy rounded to 255 levels.
  FusedTraining(Transformer& model, int64_t B, int64_t tokens = 0, bool int8_gradients = false);
  ~FusedTraining() override;

  Status begin_step(const ForwardContext& context) override;
  Result<at::Tensor> accumulate(const at::Tensor& ids_BT, const at::Tensor& targets_BT,
                                const ForwardContext& context, double share,
                                const Announce& announce = nullptr) override;
  // Whether the threads of the last micro-batch went through the forward pass without waiting.
  bool went_apart() const { return went_apart_; }
  // Meets every shape in every thread, in bfloat16 and integer form. Leaves no gradients.
  void warm();

 private:
  struct Norm;
  struct Layer;

  // Whether threads may go their ways through the forward pass: makes everything ready for it.
  bool begin_apart(const ForwardContext& context);
  // The same through the backward pass, after any forward pass.
  bool passes_gradients_apart();
  // pass() in every thread, which does its own rows of everything and waits for no other.
  template <typename Pass>
  void run_apart(const Pass& pass);
  // body(t) in each thread; where they are apart, in the calling one alone.
  template <typename Body>
  void each_thread(const Body& body);
  // body(begin, end) on each thread's rows, likewise.
  template <typename Body>
  void each_part(const Body& body);

  Status forward(const ForwardContext& context);
  void backward();
  // Backward of one linear layer's rows, see FusedLinear::backward.
  template <typename Produce>
  void backward(FusedLinear& linear, const Produce& produce, float* dx);
  void embed();
  // x_next (R, D): the residual after the layer.
  Status forward_layer(Layer& layer, const ForwardContext& context, float* x_next);
  Status take(FusedLinear& linear, const RowProducer& produce, const ForwardContext& context);
  // body(product, r, rows) for each block of the rows [begin, end), in the calling thread.
  template <typename Body>
  void multiply_blocks(FusedLinear& linear, int64_t begin, int64_t end, const Body& body);
  // out (R, N) = the linear's product (+ residual).
  void finish(FusedLinear& linear, const float* residual, float* out);
  // Queries, keys and values of rows [begin, end), in the calling thread.
  void finish_heads(Layer& layer, int64_t begin, int64_t end);
  // acc (R, N) = the linear's accumulators.
  void multiply(FusedLinear& linear, int32_t* acc);
  void backward_head();
  void backward_layer(Layer& layer, Norm& next, const float* next_x);
  void attention(Layer& layer);
  // What attention's backward pass reads of dL/d(attended) (end - begin, D).
  void take_attended_gradient(const Layer& layer, int64_t begin, int64_t end,
                              const float* dattended);
  void backward_attention(Layer& layer);
  void backward_first_norm();
  void add_embedding_gradients();
  std::vector<FusedLinear*> linears();
  std::vector<Norm*> norms();
  Status run(const ForwardContext& context);

  Transformer* model_;
  int64_t B_, T_, R_, D_, V_, threads_;
  int64_t grain_;       // threads own whole sequences, where there are enough of them
  bool by_sequence_;    // and attention goes hand in hand with the products beside it
  bool apart_ = false;  // between two meetings of the threads
  bool went_apart_ = false;
  std::vector<FusedAttention> attention_;  // a thread
  std::vector<LinearScratch> scratch_;
  std::vector<Layer> layers_;
  std::unique_ptr<Norm> norm_f_;
  std::unique_ptr<FusedLinear> head_;

  // The micro-batch.
  const int64_t *ids_ = nullptr, *targets_ = nullptr;
  float gradient_scale_ = 1.0f;  // dL/d(loss of one row)
  enum class Warm { kNo, kBfloat16, kInteger } warm_ = Warm::kNo;

  Buffer<float> x_f_;           // (R, D) the last residual
  Buffer<int32_t> logits_;      // (R, V) accumulators
  std::vector<double> losses_;  // (R)
  Buffer<float> dresidual_;     // (R, D)
  at::Tensor dwide_, dnarrow_;  // (R, 4D), (R, D): dL/dx̂ of a linear layer
  Buffer<uint16_t> dattended_;  // (R, D) bfloat16
  Buffer<float> delta_;         // (B, H, T) rows of dL/d(attended) · attended
  Buffer<float> dqkv_;          // (R, 3D), or a sequence a thread where threads own whole sequences
  Gradient wte_gradient_, wpe_gradient_;
};

}  // namespace bitloop::trainer
