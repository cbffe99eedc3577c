-- Views of a verdict table, over a view `verdicts` that has every row of every file.
-- While files are merged, a row is in two of them: each view below takes one.

-- Each unit of the table, and whether it is the current object version at its place: the newest one that was scanned.
CREATE OR REPLACE VIEW units AS
SELECT unit, place, arg_max(version, newest) OVER (PARTITION BY place) = version AS is_current
FROM (
    SELECT unit, max(scanned_at) AS newest,
           regexp_extract(unit, '^(.*)#', 1) AS place,
           regexp_replace(regexp_extract(unit, '#([^#]*)$', 1), ':[0-9]+-[0-9]+(:member=[^#]*)?$', '') AS version
    FROM verdicts GROUP BY unit
);

-- The newest verdict of each image, of any model; only current object versions.
CREATE OR REPLACE VIEW current AS
SELECT verdicts.* FROM verdicts SEMI JOIN (FROM units WHERE is_current) USING (unit)
QUALIFY row_number() OVER (PARTITION BY unit, "index" ORDER BY scanned_at DESC, model) = 1;

-- What each image's file declares about itself: `declared` is 'generated' where it names a generator or has an IPTC
-- source type that means one, 'camera' where it names a camera or has a source type of a capture, else null;
-- `contradicted` where the verdict contradicts it.
CREATE OR REPLACE VIEW evidence AS
SELECT *, coalesce(declared = 'generated' AND verdict = 'real' OR declared = 'camera' AND verdict = 'generated', false)
          AS contradicted
FROM (
    SELECT *,
           CASE WHEN provenance.generator IS NOT NULL
                  OR lower(provenance.source_type) IN ('trainedalgorithmicmedia', 'compositesynthetic',
                                                       'compositewithtrainedalgorithmicmedia') THEN 'generated'
                WHEN provenance.camera IS NOT NULL
                  OR lower(provenance.source_type) IN ('digitalcapture', 'computationalcapture') THEN 'camera'
           END AS declared
    FROM current
);

-- The images without a verdict, and why.
CREATE OR REPLACE VIEW faults AS
SELECT * FROM current WHERE status <> 'ok';

-- The images whose verdict differs between the two newest models, with both scores.
CREATE OR REPLACE VIEW changed AS
SELECT unit, "index", uri, key, "offset", "length",
       former_verdict, verdict, former_probability, probability, former_logit, logit, former_model, model, scanned_at
FROM (
    SELECT *, lead(model) OVER image AS former_model, lead(verdict) OVER image AS former_verdict,
           lead(probability) OVER image AS former_probability, lead(logit) OVER image AS former_logit
    FROM (
        FROM verdicts SEMI JOIN (FROM units WHERE is_current) USING (unit)
        QUALIFY row_number() OVER (PARTITION BY model, unit, "index" ORDER BY scanned_at DESC) = 1
    )
    WINDOW image AS (PARTITION BY unit, "index" ORDER BY scanned_at DESC, model)
    QUALIFY row_number() OVER image = 1
)
WHERE former_model IS NOT NULL AND former_verdict IS DISTINCT FROM verdict;

-- How many of the table's images each model has scored.
CREATE OR REPLACE VIEW progress AS
SELECT model, count(*) AS images, count(*) / (SELECT count(*) FROM current) AS share,
       count(*) FILTER (status <> 'ok') AS faults, count(*) FILTER (verdict = 'generated') AS generated,
       count(*) FILTER (verdict = 'real') AS real, count(*) FILTER (verdict = 'unsure') AS unsure,
       min(scanned_at) AS since, max(scanned_at) AS until
FROM (SELECT DISTINCT ON (model, unit, "index") * FROM verdicts SEMI JOIN (FROM units WHERE is_current) USING (unit))
GROUP BY model ORDER BY until DESC;
