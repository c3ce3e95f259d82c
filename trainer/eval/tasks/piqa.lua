-- PIQA: Bisk et al. 2020, "Reasoning about physical commonsense in natural language", 1,838 of the validation split.
return {
  name = "piqa",
  kind = "multiple_choice",
  file = "piqa.jsonl",
  fields = {"goal", "sol1", "sol2", "label"},
  context = "Question: {goal}\nAnswer:",
  choices = {"{sol1}", "{sol2}"},
  gold = "label",
  metrics = {"acc", "acc_norm"},
  ledger = {column = "piqa", metric = "acc"},
}
