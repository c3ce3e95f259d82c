#include "trainer/loop/subject.h"

#include "trainer/checkpoint/huggingface.h"
#include "trainer/loop/finished_run.h"
#include "trainer/loop/packed_run.h"

namespace bitloop::trainer {

using nlohmann::json;

namespace {

// A run's folder, or its packed model, which has its own job.
Result<Subject> load_run(const json& model, const MappedTensors& tensors, const Records& records,
                         bool as_stored) {
  Subject subject;
  BITLOOP_ASSIGN(
      run, model.contains("packed")
               ? load_packed_run(tensors, records, as_stored ? Unpack::kInPlace : Unpack::kWhole)
               : load_finished_run(model.at("job"), tensors, records));
  subject.context = finished_context(*run);
  subject.model = run->model.get();
  subject.run = std::move(run);
  return subject;
}

Result<Subject> load_huggingface_model(const ModelConfig& config, const MappedTensors& tensors) {
  Subject subject;
  BITLOOP_ASSIGN(model, read_huggingface(config, tensors));
  subject.made = std::make_unique<Transformer>(std::move(model));
  subject.model = subject.made.get();
  subject.context.packed = true;
  return subject;
}

}  // namespace

Result<ModelConfig> shape_of(const json& model) {
  if (!model.contains("job")) return read_huggingface_config(model.at("config"));
  json document = model.at("job");
  document["nonce"] = "";
  BITLOOP_ASSIGN(job, parse_job(document.dump()));
  return job.model;
}

bool has_byte_tokens(const json& model) {
  return model.contains("job") && model.at("job").at("preset").at("data").at("format") == "bytes";
}

Result<Subject> load_subject(const json& model, const ModelConfig& shape,
                             const MappedTensors& weights, const Records& records, bool as_stored) {
  BITLOOP_ASSIGN(subject, model.contains("job") ? load_run(model, weights, records, as_stored)
                                                : load_huggingface_model(shape, weights));
  if (as_stored) {
    subject.context.packed = false;
    subject.context.as_stored = true;
    subject.context.products = Products::kFloat32;
  }
  return subject;
}

Status serve_on(const Machine& machine, Subject& subject) {
  if (!subject.model->serve_on(machine.opened, *machine.kernels))
    return fail("bad_model", "its products are there on the CPU alone: --device cpu");
  if (!subject.run) return {};
  // Tensors that its functions make are where the functions were loaded for.
  subject.run->device = machine.opened;
  BITLOOP_ASSIGN(quantizer, load_fresh(*subject.run));
  subject.run->quantizer = std::move(quantizer);
  subject.context.quantizer = subject.run->quantizer.get();
  return {};
}

}  // namespace bitloop::trainer
