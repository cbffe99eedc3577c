-- Views of a verdict table, above a view `verdicts` that holds every row of every file.
-- While files are joined a row lies in two of them: each view below takes one.

-- Each unit that the table knows, and whether its bytes are the newest that a scan saw at its place.
CREATE OR REPLACE VIEW units AS
SELECT unit, place, arg_max(version, newest) OVER (PARTITION BY place) = version AS living
FROM (
    SELECT unit, max(scanned_at) AS newest,
           regexp_extract(unit, '^(.*)#', 1) AS place,
           regexp_replace(regexp_extract(unit, '#([^#]*)$', 1), ':[0-9]+-[0-9]+(:member=[^#]*)?$', '') AS version
    FROM verdicts GROUP BY unit
);

-- The newest verdict of each image, whichever model gave it; units whose bytes changed since are left out.
CREATE OR REPLACE VIEW current AS
SELECT verdicts.* FROM verdicts SEMI JOIN (FROM units WHERE living) USING (unit)
QUALIFY row_number() OVER (PARTITION BY unit, "index" ORDER BY scanned_at DESC, model) = 1;

-- What each image's file declares about itself, beside its verdict: `declared` is 'generated' where the file names a
-- generator or has a source type of IPTC that means one, 'camera' where it names a camera or says that it was captured,
-- else null; `contradicted` where that and the verdict exclude each other.
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

-- The images that got no verdict, and why.
CREATE OR REPLACE VIEW faults AS
SELECT * FROM current WHERE status <> 'ok';

-- What the newest model to judge an image called other than the model before it, with both scores.
CREATE OR REPLACE VIEW changed AS
SELECT unit, "index", uri, key, "offset", "length",
       former_verdict, verdict, former_probability, probability, former_logit, logit, former_model, model, scanned_at
FROM (
    SELECT *, lead(model) OVER image AS former_model, lead(verdict) OVER image AS former_verdict,
           lead(probability) OVER image AS former_probability, lead(logit) OVER image AS former_logit
    FROM (
        FROM verdicts SEMI JOIN (FROM units WHERE living) USING (unit)
        QUALIFY row_number() OVER (PARTITION BY model, unit, "index" ORDER BY scanned_at DESC) = 1
    )
    WINDOW image AS (PARTITION BY unit, "index" ORDER BY scanned_at DESC, model)
    QUALIFY row_number() OVER image = 1
)
WHERE former_model IS NOT NULL AND former_verdict IS DISTINCT FROM verdict;

-- How far each model is with the images that the table knows.
CREATE OR REPLACE VIEW progress AS
SELECT model, count(*) AS images, count(*) / (SELECT count(*) FROM current) AS share,
       count(*) FILTER (status <> 'ok') AS faults, count(*) FILTER (verdict = 'generated') AS generated,
       count(*) FILTER (verdict = 'real') AS real, count(*) FILTER (verdict = 'unsure') AS unsure,
       min(scanned_at) AS since, max(scanned_at) AS until
FROM (SELECT DISTINCT ON (model, unit, "index") * FROM verdicts SEMI JOIN (FROM units WHERE living) USING (unit))
GROUP BY model ORDER BY until DESC;
