-- The tables of a sweep for DuckDB, each as `store.read` gives them: one row per key, the latest attempt's, and of equal
-- attempts the last written. Run this file once in a session, then name the folder of a sweep in each query:
--
--     .read sweeps/results/views.sql
--     select cell_id, avg(test_auc) from trials('results/NAME') where stage = 'confirm' group by cell_id;
--
-- They are views with a parameter, so one query can look at several sweeps. Beside the columns of the schema (units and
-- descriptions: sweeps/results/schema.py) every row has `stage`: search, tune or confirm. Effects are never read off
-- `search`, whose sample is adaptive. A table of which nothing is written yet is an error that says so.
--
-- They read every file that is published and no snapshot (`compact/`), as `read_parquet` takes no list of files that a
-- query has found. The rows are those of `store.read` all the same, while a sweep runs as well; it only takes longer, a
-- second or so of processor time per thousand files.

-- Every row ever published; `file_seq` and `file_row` are its age within an attempt.
create or replace macro published(results, name) as table
select
    * exclude (filename, file_row_number),
    regexp_extract(filename, '-(\d+)\.parquet$', 1)::bigint as file_seq,
    file_row_number as file_row
from read_parquet(
    results || '/v1/' || name || '/*/*.parquet',
    union_by_name = true, hive_partitioning = true, hive_types = {'stage': varchar},
    filename = true, file_row_number = true
);

-- One row per trial: settings, seeds, ending, outcome, cost, provenance.
create or replace macro trials(results) as table
select * exclude (file_seq, file_row)
from published(results, 'trials')
qualify row_number() over (
    partition by stage, trial_id order by attempt desc, file_seq desc, file_row desc
) = 1;

-- One row per trial and epoch: losses, gradients, validation metrics.
create or replace macro curves(results) as table
select * exclude (file_seq, file_row)
from published(results, 'curves')
qualify row_number() over (
    partition by stage, trial_id, epoch order by attempt desc, file_seq desc, file_row desc
) = 1;

-- One row per trial and rung of ASHA: value, cutoff, decision.
create or replace macro rungs(results) as table
select * exclude (file_seq, file_row)
from published(results, 'rungs')
qualify row_number() over (
    partition by stage, trial_id, rung order by attempt desc, file_seq desc, file_row desc
) = 1;

-- One row per trial, checkpoint, split, metric and k.
create or replace macro evaluations(results) as table
select * exclude (file_seq, file_row)
from published(results, 'evaluations')
qualify row_number() over (
    partition by stage, trial_id, checkpoint, split, metric, k order by attempt desc, file_seq desc, file_row desc
) = 1;

-- What single classes contribute: metric `auc` is of the class' positive pairs against all negative pairs.
create or replace macro eval_groups(results) as table
select * exclude (file_seq, file_row)
from published(results, 'eval_groups')
qualify row_number() over (
    partition by stage, trial_id, split, metric, k, class_id order by attempt desc, file_seq desc, file_row desc
) = 1;

-- What the figures of embeddings are drawn from: points, ellipses, distances, neighbours, thumbnails.
create or replace macro views(results) as table
select * exclude (file_seq, file_row)
from published(results, 'views')
qualify row_number() over (
    partition by stage, trial_id, split, "view", item, "rank" order by attempt desc, file_seq desc, file_row desc
) = 1;

-- Embeddings of held-out images, of the runs that store them.
create or replace macro embeddings(results) as table
select * exclude (file_seq, file_row)
from published(results, 'embeddings')
qualify row_number() over (
    partition by stage, trial_id, split, image_index order by attempt desc, file_seq desc, file_row desc
) = 1;

-- The analysis' own output, written by `koleo-sweeps report`: no stage, no attempts.
create or replace macro contrasts(results) as table
select * from read_parquet(results || '/v1/contrasts/*.parquet', union_by_name = true);
