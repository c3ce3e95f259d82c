#include "trainer/loop/packed_run.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "harness/base/version.h"
#include "trainer/loop/finished_run.h"

namespace bitloop::trainer {
namespace {

using nlohmann::json;

std::unexpected<Error> bad(std::string message) { return fail("bad_weights", std::move(message)); }

// The run's job without what belongs to the machine that it ran on.
json description_of(const Run& run) {
  const Job& job = run.job;
  json preset = json::object();
  for (const char* part : {"name", "model", "train", "eval"}) preset[part] = job.config.at(part);
  preset["data"] = {{"format", job.data.format}};
  json allowed = json::object();
  for (const auto& [key, bounds] : job.rules.allowed_config)
    allowed[key] = {bounds.first, bounds.second};
  return {{"bitloop", fmt::format("{}+{}", version(), git_hash())},
          {"job",
           {{"schema_version", 1},
            {"kind", "train"},
            {"candidate", {{"path", job.candidate_path}, {"content", job.candidate}}},
            {"data_dir", ""},
            {"preset", preset},
            {"rules",
             {{"quantize_head", job.rules.quantize_head},
              {"paper_compat", job.rules.paper_compat},
              {"allowed_config", allowed}}},
            {"seed", job.train.seed}}}};
}

// The job of a description that read_description gave. What is wrong with it is wrong with the
// file.
Result<Job> job_of(const json& description) {
  const auto found = description.find("job");
  if (found == description.end() || !found->is_object())
    return bad("does not say how its model was made");
  json document = *found;
  document["nonce"] = "";  // records are the caller's
  auto job = parse_job(document.dump());
  if (!job) return bad("does not say how its model was made: " + job.error().message);
  return job;
}

// Whether a model of this shape can be in the file at all: before memory is asked for.
Status check_shape(const MappedTensors& tensors, const ModelConfig& model) {
  const auto is = [&](const std::string& name, int64_t rows) {
    return tensors.shape(name) == std::vector<int64_t>{rows, model.width};
  };
  // A weight, or its codes: no code has less than a bit.
  const auto has_weights = [&](const std::string& layer, int64_t count) {
    const size_t bytes =
        tensors.bytes(layer + ".weight").size() + tensors.bytes(layer + ".codes").size();
    return bytes >= static_cast<size_t>(count / 8);
  };
  const int64_t D = model.width, F = model.hidden_width(), last = model.layers - 1;
  const bool llama = model.is_llama();
  const std::string block = fmt::format("{}{}.", llama ? "model.layers." : "h.", last);
  if (!is(BlockMaker::embedding_name(model), model.padded_vocab_size) ||
      (!llama && !is("wpe.weight", model.context)) || model.layers > std::ssize(tensors.names()) ||
      !tensors.has(block + (llama ? "input_layernorm.weight" : "ln_1.weight")) ||
      !has_weights(block + (llama ? "mlp.down_proj" : "mlp.c_proj"), D * F))
    return bad("holds another model than it says");
  return {};
}

const lua::Format* format_of(const Run& run) { return &run.quantizer->format(); }

}  // namespace

Result<double> write_packed_run(int fd, Run& run, at::ScalarType floats) {
  const PackedModel packed = pack_model(*run.model, format_of(run), floats);
  BITLOOP_TRY(write_packed(fd, packed, description_of(run)));
  return packed.bits_per_weight;
}

Status load_packed(const MappedTensors& tensors, Run& run) {
  BITLOOP_ASSIGN(description, read_description(tensors));
  BITLOOP_ASSIGN(job, job_of(description));
  if (job.candidate != run.job.candidate) return bad("is of another candidate");
  BITLOOP_TRY(check_shape(tensors, run.job.model));
  return unpack_model(tensors, description, *run.model, format_of(run));
}

Result<std::unique_ptr<Run>> load_packed_run(const MappedTensors& tensors, const Records& records,
                                             Unpack how) {
  const at::NoGradGuard no_grad;
  BITLOOP_ASSIGN(description, read_description(tensors));
  BITLOOP_ASSIGN(job, job_of(description));
  BITLOOP_TRY(check_shape(tensors, job.model));
  auto run = std::make_unique<Run>();
  run->job = std::move(job);
  run->records = &records;
  run->model = std::make_unique<Transformer>(
      Transformer::empty(run->job.model, run->job.rules.quantize_head));
  records.stage("candidate_loaded");
  BITLOOP_ASSIGN(quantizer, load_fresh(*run));
  run->quantizer = std::move(quantizer);
  BITLOOP_TRY(unpack_model(tensors, description, *run->model, format_of(*run), how));
  return run;
}

Status pack_run(const json& job, const Records& records) {
  return run_with_weights(job, job.at("weights"), nullptr, records,
                          [&](const MappedTensors& weights, const Machine&) -> Status {
                            BITLOOP_ASSIGN(run, load_finished_run(job.at("job"), weights, records));
                            BITLOOP_TRY(run->model->quantize_weights(finished_context(*run)));
                            const bool narrow = job.at("floats") == "bfloat16";
                            BITLOOP_ASSIGN(bits,
                                           write_packed_run(job.at("output").at("fd"), *run,
                                                            narrow ? at::kBFloat16 : at::kFloat));
                            records.send("packed", {{"bits_per_weight", bits}});
                            return {};
                          });
}

}  // namespace bitloop::trainer
