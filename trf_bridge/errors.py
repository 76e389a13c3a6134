"""Every error and warning, by code: what happened, what was expected, what to do.

No message holds text of a document.
"""

# Checkpoints and files
TB001 = (
    "[TB001] No checkpoint is named for the component '{name}'. Set {field} to a folder or to a "
    "name on the Hugging Face hub, or load a saved pipeline."
)
TB002 = (
    "[TB002] Can't find the checkpoint '{trf_name}' (revision {revision}): it is neither a folder "
    "here nor reachable on the Hugging Face hub. Check the spelling and the network, or download "
    "it and give the folder. The reason given: {reason}"
)
TB003 = (
    "[TB003] Can't read the weights of '{trf_name}'. Expected model.safetensors (or "
    "pytorch_model.bin), whole and belonging to its config.json. Download it again. The reason "
    "given: {reason}"
)
TB004 = (
    "[TB004] Can't load the tokenizer of '{trf_name}'. Expected tokenizer.json, or the vocabulary "
    "files of the tokenizer that its config names. The reason given: {reason}"
)
TB005 = (
    "[TB005] {path} was written in format {found}, and this version of trf_bridge ({version}) "
    "reads formats up to {known}. Upgrade: pip install -U trf_bridge"
)
TB006 = (
    "[TB006] Can't read {path}: the file is missing, cut short or not what it should be. Copy or "
    "install the pipeline again. The reason given: {reason}"
)
TB007 = (
    "[TB007] The tokenizer of '{tokenizer_name}' has {n_vocab} wordpieces, and the embedding table "
    "of '{model_name}' has only {n_rows} rows. Use the tokenizer and the weights of one checkpoint."
)
TB008 = "[TB008] Unknown {field}: {got}. Expected one of: {expected}."
TB009 = (
    "[TB009] {field} must be a whole number of at least {least}, and it is {got} ({got_type}). "
    "{advice}"
)
TB010 = (
    "[TB010] The component '{name}' has no {what} yet. Call nlp.initialize(), which loads those of "
    "its checkpoint, or load a saved pipeline."
)
TB011 = (
    "[TB011] {component} received a Doc of {n_tokens} tokens without wordpieces. Add "
    "trf_wordpiecer to the pipeline before it, and don't disable it."
)
TB012 = (
    "[TB012] precision = '{precision}' needs {needs}, and the weights are on {device}. Use 'fp32' "
    "or 'bf16'."
)
TB013 = (
    "[TB013] The checkpoint '{trf_name}' gives no {output}. Its config says model_type = "
    "'{model_type}'. Turn {field} off, or use another checkpoint."
)
TB014 = (
    "[TB014] doc._.{name} must have the shape {expected}, as doc._.{like} has, and it has {got}."
)
TB015 = (
    "[TB015] A wordpiece has the id {got}, and the embedding table has {n_rows} rows. The "
    "tokenizer and the weights are of different checkpoints: save and load them together."
)
TB016 = (
    "[TB016] The checkpoint '{trf_name}' brings its own code, which is not run unless you say so. "
    "Read it, then set trust_remote_code = true in the component's config. The reason given: "
    "{reason}"
)
TB017 = (
    "[TB017] Can't compare a vector of width {one} with one of width {two}: they are of different "
    "pipelines, or one of the Docs has not been through trf_tok2vec."
)
TB018 = "[TB018] from_pretrained has no setting {got}. Expected some of: {expected}."
TB019 = (
    "[TB019] freeze = {got}, and the model has {n_layers} layers that can be frozen one by one. "
    "Give a smaller number, or 'all'."
)
TB020 = (
    "[TB020] {component} listens to a transformer, and the pipeline has none before it. Add "
    "trf_wordpiecer and trf_tok2vec{upstream} before it."
)
TB021 = (
    "[TB021] {component} received a Doc of {n_tokens} tokens with {found} instead of the "
    "transformer's output. Put trf_tok2vec before it in the pipeline, don't disable it, and if it "
    "is frozen in training, list it under annotating_components."
)
TB022 = (
    "[TB022] '{name}' needs the {output}, and the checkpoint '{trf_name}' has none. Choose another "
    "architecture: trf_bridge.TextCatMean.v1 works with every checkpoint."
)
TB023 = (
    "[TB023] The gradient in doc._.trf_d_{output} holds NaN or infinite numbers. The batch was "
    "dropped and the weights are as they were. Look for the component behind '{name}' that wrote "
    "it."
)
TB024 = (
    "[TB024] The gradient of this Doc has been sent back to the transformer already, so what is "
    "added to doc._.trf_d_{output} now would be lost. Within an update, don't read the "
    "transformer's model, call its predict or settle it before every component has added its "
    "gradient."
)
TB025 = "[TB025] {field} must be a number from {least} to {most}, and it is {got}."
TB026 = (
    "[TB026] An example says that the label {got} is right, and '{name}' does not know it. "
    "Expected one of: {expected}. Add labels before nlp.initialize, or give all of them to it."
)
TB027 = (
    "[TB027] The listener of '{name}' was given the width {got}, and the transformer is {expected} "
    "wide. Leave width out: it is taken from the transformer."
)
TB030 = (
    "[TB030] gradient_checkpointing = true, and {architecture} in transformers {version} can't "
    "compute its layers a second time. Set it to false, and words_per_batch lower to save memory."
)
TB031 = (
    "[TB031] The model in {path} computes other numbers than where it was saved: that was with "
    "transformers {saved}, and {installed} is installed. Install the version that it was saved "
    "with, or one close to it."
)
TB032 = (
    "[TB032] {tokenizer} puts boundary pieces around {expected} wordpieces of a text, and {got} of "
    "them come back as they were. Its build_inputs_with_special_tokens must give the ids that it "
    "was given, in their order, with others around them."
)
TB033 = (
    "[TB033] {tokenizer} can't be used: it has no Rust part that gives character offsets, and a "
    "call of it is not the same as its methods tokenize, convert_tokens_to_ids and "
    "build_inputs_with_special_tokens, one after the other. Use a fast tokenizer. The reason "
    "given: {reason}"
)
TB034 = (
    "[TB034] An input can have {got} wordpieces, and {n_added} of them are boundary pieces that "
    "the tokenizer adds to each. Set max_length on trf_wordpiecer to {least} at least."
)
TB035 = (
    "[TB035] The function in sentences of '{name}' must return a list of Spans for each of the "
    "{n_docs} Docs, each Span with tokens of that Doc, and it returned {got}."
)
TB036 = (
    "[TB036] The function in sentences of '{name}' returned the tokens {one} and after them the "
    "tokens {two} of one Doc. Spans must stand in order and share no token."
)
TB037 = (
    "[TB037] {field} must be the text of a token, such as '|||', and it is {got} ({got_type}). "
    "Leave it out, or give None, where there are no pairs of texts."
)
TB039 = (
    "[TB039] A text has {code}, half of a surrogate pair, at character {place}: it is no valid "
    "Unicode and can't be cut into wordpieces. Where bytes were decoded with "
    "errors='surrogateescape' or 'surrogatepass', decode them with errors='replace' instead."
)

# The command line
TB040 = (
    "[TB040] The command stopped at an error that it was not prepared for, {error}: {reason}. Run "
    "it again with --verbose to see where."
)
TB041 = "[TB041] {path} exists already. {advice}"
TB042 = (
    "[TB042] {path} is not a text in UTF-8: line {line} has the byte {byte} where none can be. "
    "Convert the file to UTF-8."
)
TB043 = (
    "[TB043] The pipeline '{pipeline}' has no component {needs}, which this command needs; it has "
    "{found}. Make one with: python -m spacy trf init NAME_OR_PATH OUT."
)
TB044 = "[TB044] Can't use '{path}': {reason}. Expected {expected}."
TB045 = "[TB045] The recipe {path} is not valid: {faults}."
TB046 = (
    "[TB046] The package {package} needs {what}, which could not be fetched: {reason}. Run this on "
    "a machine that reaches {where}, or that has it in its cache."
)
TB047 = (
    "[TB047] The files of {checkpoint} are not those that the recipe was written for: {reason}. "
    "Fetch them again, or correct the recipe."
)
TB048 = "[TB048] No wheel was built: {reason}."
TB049 = "[TB049] The arguments of the command don't go together: {problem}."

# Pictures
TB050 = (
    "[TB050] A picture is drawn of a Doc or a Span, or of several of them, and this is {got}. Make "
    "a Doc with nlp(text)."
)
TB051 = (
    "[TB051] A Doc of {n_tokens} tokens has no attentions: set output_attentions = true in "
    "[components.trf_tok2vec.model] of the pipeline's config, and run the pipeline again; the "
    "commands view and compare do that for one run with --output-attentions."
)
TB052 = "[TB052] A Doc of {n_tokens} tokens has no {what}: run a pipeline with {component} over it."
TB053 = "[TB053] {what} takes {expected}, and it was given {got}."
TB054 = (
    "[TB054] Can't serve at {host}, port {port}: {reason}. Give another port, or 0 for any that is "
    "free."
)
TB055 = (
    "[TB055] The picture would hold {n_cells:,} numbers, and a browser shows up to {most:,}. Draw "
    "a shorter text, or a Span of it; of the attention, choose some layers or heads."
)
TB056 = (
    "[TB056] Attention can only be compared over the same tokens, and a Doc of {one} tokens was "
    "given with another of {two}. Make the second from the words of the first."
)

# Warnings
TB101 = (
    "[TB101] {n_tokens} tokens of {n_inputs} sentences or pairs lie past the maximum of "
    "{max_length} wordpieces; their rows of doc.tensor are zero. Split the text into shorter "
    "sentences, or set overflow = 'window' on trf_wordpiecer."
)
TB102 = (
    "[TB102] No gradient reached '{name}': it learns nothing from this batch. {heads} To keep the "
    "transformer as it is on purpose, set freeze = 'all' in its model."
)
TB104 = (
    "[TB104] {n_guessed} of {n_pieces} wordpieces could not be placed exactly: the tokenizer gives "
    "no character offsets, and these don't show what they stand for. They are linked to the tokens "
    "near their neighbours, so rows of doc.tensor may be off by a token there. Use a fast "
    "tokenizer if the model has one."
)
TB105 = (
    "[TB105] {n_tokens} tokens of {n_docs} Docs, white space aside, are in none of the Spans that "
    "the function in sentences of '{name}' returned; their rows of doc.tensor are zero."
)
TB106 = "[TB106] The separator of {n_docs} Docs {problem}. {advice}"
TB107 = "[TB107] precision = 'auto' is {choice}: {reason}."
TB108 = (
    "[TB108] freeze = 0 is deprecated and will be removed in version 1.0. Use freeze = "
    "'embeddings' to freeze the embeddings alone."
)
TB109 = (
    "[TB109] '{component}' sets sentence boundaries before '{name}', and training does not run it: "
    "the transformer would be trained on other sentences than it predicts on. List '{component}' "
    "under annotating_components in the [training] section of the config."
)
